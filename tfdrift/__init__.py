"""Predict how a brain metastasis changes between two MRIs around radiosurgery, with diffusion models.

The packages, in the order in which they may import one another:

- `tfdrift.errors`, `tfdrift.config`: what can go wrong; every setting with its default.
- `tfdrift.imaging`: DICOM MR and RTSTRUCT to volumes and masks in millimetres.
- `tfdrift.diffusion`: noise schedules, the forward process, the DDIM sampler; algebra on tensors.
- `tfdrift.model`: the two-input U-Net and what it predicts.
- `tfdrift.cohort`: patients, lesions, crops, folds; the phantom and the digits.
- `tfdrift.training`: losses, the compiled training loop, checkpoints, TensorBoard, the run folder.
- `tfdrift.evaluation`: scores on held-out patients beside the baselines.
- `tfdrift.serving`: SavedModels for TF Serving.
"""

__version__ = "0.1.0"
