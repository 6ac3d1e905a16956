"""Files of a scanner or planning system to volumes, masks and transforms in mm (DICOM's LPS). No TensorFlow here.

dicom                    opening one DICOM file of unknown origin
nesting                  whether its items fill one another exactly
slices                   headers of image files: place and scanner units
pixels                   one slice's pixels, decoded
geometry                 planes of a series, and its regular grid
series                   a series to one volume, or a refusal
structures               an RTSTRUCT's or a Segmentation's structures, and masks
segmentations            a Segmentation's segments as voxels
dose                     RTDOSE objects to the dose of one plan in Gy
contours                 whether two contours are the same, or cross
polygons                 polygons to pixels
matching                 which series a structure set was drawn on
intensity                two sessions on one scale, by healthy tissue
registration             the second session onto the first one's grid
residual                 the figure that tells a wrong registration
spatial_registration     registration objects: motions, and which of several counts
deformable_registration  the vectors of deformable ones
resampling               images and masks on another grid; Gaussian smoothing in mm
nifti                    volumes and masks as NIfTI
"""
