"""A clinic's export to a cohort. Nothing here imports TensorFlow.

cohort         the import from beginning to end
settings       what it is asked for, checked
sources        where patients can come from, one entry each
dicom_source   DICOM MR with RTSTRUCT or SEG as a source
catalogue      what a folder of DICOM holds
copies         whether two files say the same
visits         which of its studies are the visits
listing        what `tfdrift cohort scan` prints of it
nifti_source   NIfTI and masks: a BIDS folder, or a table of files
sidecars       how a NIfTI image was taken, from BIDS' JSON files
dates          when an image was taken
sessions       a visit as a source reads it, and on the first one's grid
patient        a patient's sessions to a file of slices
pairing        which lesion of one visit is which of the next
target_names   which structures are lesions
lesions        a pair to slices and a row of the table
pseudonyms     keyed names
report         what `import.json` and `exclusions.csv` say
contact_sheet  every lesion, drawn
"""
