"""What a cohort is. Only `store` imports TensorFlow.

samples        the rows in memory: images with channels, masks, conditions; folds of patients
folds          patients dealt to folds; no patient or image on both sides
groups         groups of patients, such as those of a hospital, as folds
neighbours     the image of others that is most like an image, however turned
channel_names  which channels are asked for, and what they are called
channels       further channels in the crops, and the scale of each
dose           the channel of the dose, and its unit
crop           a lesion to slices of one size, and the way back
nifti_files    a cohort's crops for other programs
prepared       a cohort in parts, and what `import.json` says of the whole
store          a cohort on disk, as a TFDS dataset
gtv_regions    core, rim and outside of a GTV
orientation    which way the slices lie
context        what a lesion shows of itself, and the columns that a network may be given
earlier        how a lesion changed before the first MRI of a pair
volumes        where a predicted image shows the lesion
response       which lesions respond poorly
tables         `lesions.csv` and `exclusions.csv`
overview       a cohort in a few lines of text
"""
