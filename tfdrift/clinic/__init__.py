"""A prediction for a patient, written back for a planning system.

models                what answers, wherever it is, asked in batches
local_model           a version on this machine
served_model          a model on a server
lesion                one lesion through a model
channels              further channels of a lesion
movement              how a lesion moves, where a model tells that
plausibility          reasons to distrust a prediction
public_label          what a structure is called outside of the clinic
predict               a patient from MRI and lesions to a folder
patient_files         the MRI and what is drawn on it, from DICOM or NIfTI
scenarios             what a model is told of a lesion, and "what if"
document              prediction.json
output                maps and masks as NIfTI and DICOM
source_images         the slices that a new DICOM object refers to
dicom_writing         Parametric Maps and Segmentations
structure_writing     masks as the contours of an RTSTRUCT
registration_writing  how tissue moves, as a deformable registration
pictures              slices, outcomes, volumes
report                one HTML page
"""
