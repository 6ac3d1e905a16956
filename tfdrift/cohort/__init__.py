"""Patients, lesions, crops and folds; the phantom and the digits. Only `dataset` imports TensorFlow."""
