"""DICOM MR and RTSTRUCT to volumes and masks in millimetres (DICOM LPS); no TensorFlow here."""
