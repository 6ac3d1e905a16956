"""Cohorts made by the computer, whose law of change is known. Nothing here imports TensorFlow.

law              what a lesion is, and what a law of its response is made of
laws             the laws by name
dose_plan        the dose that a lesion gets, where a law asks for it
phantom          heads around the lesions, MRI of each session
phantom_samples  crops of both sessions for training
new_patients     heads beyond those that runs are trained on
oracle           what may happen, by one who knows the law; the best score there can be
digits           MNIST's zeros, grown and shrunk
phantom_dicom    the phantom as a clinic's DICOM export
phantom_visits   the sessions of a patient as visits with dates
phantom_objects  series and structure sets of a visit
phantom_treatment  plan and dose of a patient
"""
