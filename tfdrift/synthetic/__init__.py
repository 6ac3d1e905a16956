"""Cohorts made by the computer, whose law of change is known. Nothing here imports TensorFlow.

law              what a lesion is and how it responds
phantom          heads around the lesions, MRI of each session, the best score there can be
new_patients     heads beyond those that runs are trained on
digits           MNIST's zeros, grown and shrunk
phantom_dicom    the phantom as a clinic's DICOM export
phantom_visits   the sessions of a patient as visits with dates
phantom_objects  series and structure sets of a visit
"""
