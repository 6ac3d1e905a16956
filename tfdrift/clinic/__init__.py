"""A prediction for a patient, written back for a planning system.

models             what answers, wherever it is, asked in batches
local_model        a version on this machine
served_model       a model on a server
lesion             one lesion through a model
given              what a user tells of a patient beside the MRI
scenarios          what a model is told of a lesion, and "what if"
movement           how a lesion moves, where a model tells that
plausibility       reasons to distrust a prediction
public_label       what a structure is called outside of the clinic
predict            a patient from MRI and contours to a folder
document           prediction.json
output             maps and masks as NIfTI and DICOM
source_images      the slices that a new DICOM object refers to
dicom_writing      Parametric Maps and Segmentations
outlines           pixels to polygons
structure_writing  masks as the contours of an RTSTRUCT
pictures           slices, outcomes, volumes
report             one HTML page
"""
