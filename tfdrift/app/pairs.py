"""Both MRIs of a lesion's patient, the second on the first's grid, for the page to compare: what the import saw.

`python -m tfdrift.app.pairs REQUEST` is a process of its own. REQUEST is a JSON file: `export`, `cohort`, `keys`,
`patient`, `lesion` and `out`. The cohort's own folder holds crops alone; whole heads are read from the export again.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from tfdrift.errors import DataError, TfdriftError
from tfdrift.imaging.nifti import write_nifti
from tfdrift.imaging.resampling import resample_image
from tfdrift.importing.pseudonyms import pseudonym, read_or_make_key
from tfdrift.importing.sessions import Patient, Session, bring_onto
from tfdrift.importing.settings import ImportSettings
from tfdrift.importing.sources import choose_source
from tfdrift.importing.target_names import target_rule

FILES = ("pre.nii", "post.nii", "pre_contours.nii.gz", "post_contours.nii.gz")
_KEPT = ("source", "by_place", "components", "register", "seed")


def write_pair(
    export: Path, cohort: Path, key_files: Sequence[Path], patient: str, lesion: str, out: Path
) -> dict[str, Any]:
    """Write the MRIs and contours of both visits on the first one's grid, and return where the lesion is.

    A label of the contours is a structure; that of the lesion at the first visit is 1.

    Args:
        export: that the cohort was imported from.
        cohort: whose `import.json` says how.
        key_files: that lie beside it, one of which its pseudonyms were made with.
        patient: pseudonym.
        lesion: pseudonym.
        out: folder that exists.

    Raises:
        DataError: the export, the cohort or the key is another one, or the visits cannot be read.
    """
    keys = [read_or_make_key(file) for file in key_files if file.is_file()]
    if not keys:
        raise DataError("the cohort's key is not beside it; without it nobody can tell whose lesion this is")
    settings = _settings(cohort)
    patients, _ = choose_source(export, settings.source).find_patients(export, settings, None)
    found = [(key, one) for key in keys for one in patients if pseudonym(key, "patient", one.patient_id) == patient]
    if not found:
        raise DataError("this patient is not in the folder of images; choose the one that the cohort was imported from")
    key, person = found[0]
    pre, post = _sessions(person, settings)
    names = {pseudonym(key, "lesion", person.patient_id, str(number)): number for number in pre.masks}
    if lesion not in names:
        raise DataError("this lesion is not in the folder of images; choose the one that the cohort was imported from")
    assert post.registration is not None
    moved = resample_image(post.image, pre.image, post.registration.transform)
    images = (pre.image, moved, _labels(pre, first=names[lesion]), _labels(post, first=None))
    for name, image in zip(FILES, images, strict=True):
        write_nifti(image, out / name)
    centre = np.argwhere(sitk.GetArrayViewFromImage(pre.masks[names[lesion]]) > 0).mean(axis=0)[::-1]
    x, y, z = pre.image.TransformContinuousIndexToPhysicalPoint(centre.tolist())
    return {"centre_ras_mm": [-x, -y, z]}


def _settings(cohort: Path) -> ImportSettings:
    try:
        options = json.loads((cohort / "import.json").read_text(encoding="utf-8"))["options"]
        return ImportSettings(**{name: options[name] for name in _KEPT if name in options})
    except (OSError, ValueError, LookupError, TypeError):
        raise DataError("the cohort's import.json cannot be read; import it again") from None


def _sessions(patient: Patient, settings: ImportSettings) -> tuple[Session, Session]:
    is_wanted = target_rule(settings.roi)
    visits, _ = patient.visits(is_wanted)
    if len(visits) < 2:
        raise DataError("two visits of this patient cannot be read any more")
    pre, post = (visit.read([one for one in visit.structures if is_wanted(one)])[0] for visit in visits[:2])
    return pre, bring_onto(post, pre, mode=settings.register, seed=settings.seed)


def _labels(session: Session, *, first: int | None) -> sitk.Image:
    """Return one volume of a session's masks: 1 for the structure `first`, 2 for all others; 1 for all without one."""
    labels: np.ndarray | None = None
    for number, mask in session.masks.items():
        inside = sitk.GetArrayViewFromImage(mask) > 0
        labels = np.zeros(inside.shape, np.uint8) if labels is None else labels
        labels[inside] = 1 if first is None or number == first else 2
    if labels is None:
        raise DataError("a visit of this patient has no lesion any more")
    image = sitk.GetImageFromArray(labels)
    image.CopyInformation(next(iter(session.masks.values())))
    return image


def main() -> None:
    """Answer the request in the file that the command line names."""
    try:
        request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        export, cohort, out = (Path(request[name]) for name in ("export", "cohort", "out"))
        keys = [Path(key) for key in request["keys"]]
        document = write_pair(export, cohort, keys, request["patient"], request["lesion"], out)
    except TfdriftError as error:
        sys.stderr.write(f"Error: {' '.join(str(error).splitlines())}\n")
        sys.exit(error.exit_code)
    sys.stdout.write(json.dumps(document))


if __name__ == "__main__":
    main()
