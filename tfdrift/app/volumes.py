"""A patient's MRI and contours as the page's viewer takes them, read as `tfdrift predict` reads them.

`python -m tfdrift.app.volumes REQUEST` is a process of its own, so that files which crash a library cost the server
nothing. REQUEST is a JSON file: `series` and `structures`, or `image`, `masks` and `components`; `roi`; and `out`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from tfdrift.clinic.patient_files import PatientFiles, read_dicom_files, read_nifti_files
from tfdrift.errors import DataError, TfdriftError
from tfdrift.imaging.nifti import write_nifti
from tfdrift.importing.target_names import DEFAULT_ROI_PATTERN

MRI, CONTOURS = "mri.nii", "contours.nii.gz"


def write_patient(patient: PatientFiles, out: Path) -> dict[str, Any]:
    """Write the MRI and a volume of labels, 1 for the first lesion, and return what the page lists.

    Args:
        patient: what was read.
        out: folder that exists.
    """
    labels = np.zeros(patient.image.GetSize()[::-1], np.uint8)
    lesions, warnings = [], []
    for label, lesion in enumerate(patient.lesions, start=1):
        try:
            mask, said = lesion.mask()
        except DataError as error:
            warnings.append(f"{lesion.label}: {error}")
            continue
        inside = sitk.GetArrayViewFromImage(mask) > 0
        labels[inside] = label
        centre = np.argwhere(inside).mean(axis=0)[::-1]
        x, y, z = patient.image.TransformContinuousIndexToPhysicalPoint(centre.tolist())
        volume_mm3 = float(inside.sum() * np.prod(patient.image.GetSpacing()))
        warnings += [f"{lesion.label}: {text}" for text in said]
        lesions.append(
            {
                "label": label,
                "number": lesion.roi.number,
                "name": lesion.roi.name,
                "volume_mm3": volume_mm3,
                "centre_ras_mm": [-x, -y, z],  # the viewer's axes are NIfTI's
            }
        )
    contours = sitk.GetImageFromArray(labels)
    contours.CopyInformation(patient.image)
    write_nifti(patient.image, out / MRI)
    write_nifti(contours, out / CONTOURS)
    return {"lesions": lesions, "warnings": warnings}


def write_lengths(vectors: Path, lengths: Path) -> None:
    """Write the lengths of the vectors of a NIfTI file, which a viewer can show as colours.

    Args:
        vectors: such as `displacement_mm.nii.gz`.
        lengths: file to write.
    """
    write_nifti(sitk.Cast(sitk.VectorMagnitude(sitk.ReadImage(str(vectors))), sitk.sitkFloat32), lengths)


def write_request(request: dict[str, Any]) -> dict[str, Any]:
    """Write what a request asks for, and return what the page lists.

    Args:
        request: see the module.

    Raises:
        DataError: the files cannot be read, or do not belong together.
        UsageError: the pattern of names is none.
    """
    out, pattern = Path(request["out"]), request.get("roi") or DEFAULT_ROI_PATTERN
    if request.get("series"):
        files = Path(request["series"]), Path(request["structures"])
        patient = read_dicom_files(*files, pattern, by_place=bool(request.get("by_place")))
    else:
        masks = [Path(mask) for mask in request["masks"]]
        patient = read_nifti_files(Path(request["image"]), masks, pattern, components=bool(request.get("components")))
    return write_patient(patient, out)


def main() -> None:
    """Answer the request in the file that the command line names."""
    try:
        document = write_request(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    except TfdriftError as error:
        sys.stderr.write(f"Error: {' '.join(str(error).splitlines())}\n")
        sys.exit(error.exit_code)
    sys.stdout.write(json.dumps(document))


if __name__ == "__main__":
    main()
