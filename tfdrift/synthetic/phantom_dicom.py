"""The phantom as a clinic would export it: DICOM MR series, RTSTRUCT and registrations of three visits a patient.

    OUT/<patient>/<date>_<visit>/MR_T1/MR.<uid>.dcm      the slices of one series
    OUT/<patient>/<date>_<visit>/RTSTRUCT/RS.<uid>.dcm   External, Brain, a GTV and a PTV for each lesion
    OUT/<patient>/<date>_<visit>/REG/RE.<uid>.dcm        for some patients, see below
    OUT/<patient>/<date>_pre/RTPLAN/RP.<uid>.dcm         by the law `dose`, see `tfdrift.synthetic.phantom_treatment`
    OUT/<patient>/<date>_pre/RTDOSE/RD.<uid>.dcm         of that plan
    OUT/truth.json                                       for tests only, written last; see `write_phantom`

Names, numbers and birth dates are invented. By the patient's number n, counted from 0:

- n even: all visits share one frame of reference. n odd: each visit has its own, and at the second and third the head
  is turned by 2 to 10 degrees about its middle, about any axis, and shifted by 3 to 15 mm. For n = 1, 5, 9, ... these
  visits have a Spatial Registration object, for n = 3, 7, 11, ... nothing but the images tells.
- n = 1, 4, 7, ...: slices are tilted by 4 to 12 degrees, in each visit otherwise; else they are axial.
- Pixels are uint16, int16, or uint16 with a rescale slope and intercept, in turn over patients and visits.
- Lesions are called "GTV1_L_frontal", "gtv 1", "Met 1" or "GTV-1 (L frontal)" by n modulo 4. For n = 3, 7, 11, ... the
  second and third visit use the next of these; for n = 5, 11, 17, ... they number the lesions backwards.
- A lesion that has no voxel centre inside is not drawn.

The field of view is the head and 8 mm around it, off by up to 2 mm, so that no two visits have one grid.
"""

import json
import multiprocessing
import re
import shutil
import signal
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from skimage.measure import find_contours

from tfdrift.errors import ResourceError, UsageError
from tfdrift.files import refuse_used, write_whole, writing
from tfdrift.synthetic.phantom import HEAD_SEMI_AXES_MM, SESSIONS, Lesion, Patient, make_cohort, rician, tissue_signal
from tfdrift.synthetic.phantom_objects import Structure, Visit, mr_slice, spatial_registration, structure_set
from tfdrift.synthetic.phantom_samples import is_poor
from tfdrift.synthetic.phantom_treatment import dose_of, plan_of
from tfdrift.synthetic.phantom_visits import Acquisition, make_acquisitions, roi_names

CLINIC_SPACING_MM = (1.5, 0.9, 0.9)
"""Distance of slices, rows and columns: a usual contrast-enhanced T1 series."""

PTV_MARGIN_MM = 2.0
BRAIN_SHELL = 0.87
"""Where the brain ends, as a share of the head's semi-axes."""

_AIR_SHELL = 1.05  # beyond it the head's signal is below a hundredth of a unit
_KEPT_POINTS = 4  # of a large outline every fourth


def write_phantom(
    out: Path,
    *,
    patients: int = 39,
    seed: int = 0,
    only: Collection[int] = (),
    law: str = "response",
    spacing_mm: tuple[float, float, float] = CLINIC_SPACING_MM,
    workers: int | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> None:
    """Write the phantom of `tfdrift.synthetic.phantom.make_cohort` as DICOM files, several patients at a time.

    `truth.json` has a row for each patient: `patient_id`, `folder`, `registration` (identity, dicom or rigid: what the
    export allows); `visits`, by session: `folder`, `date`, `days` since the first, `spacing_mm` (slice, row, column)
    and `motion`, a 4 x 4 matrix that maps points of the first visit's patient coordinates to this visit's, mm; and
    `lesions`: `group` (A poor, B good response), `roi` and `volume_mm3` by session. `roi` is null where the lesion is
    not drawn; `volume_mm3` is that of the true surface. By the law `dose` each lesion also has `prescription_gy` and
    `mean_dose_gy`, inside the true surface, and each patient `fractions`.

    Each patient's folder appears when it is whole, and `truth.json` when all are. The same arguments give the same
    bytes.

    Args:
        out: a folder that is empty or does not exist.
        patients: how many, at least 2.
        seed: of everything.
        only: numbers of the patients to write, from 1; by default all. Their files are those that all would have.
        law: by which the lesions respond, in `tfdrift.synthetic.laws.NAMES`.
        spacing_mm: distance of slices, rows and columns.
        workers: processes; by default one for each processor.
        progress: wraps the iteration over finished patients, such as `tqdm.tqdm`.

    Raises:
        UsageError: fewer than 2 patients, no such law, a number in `only` that none has, or `out` is a file or a folder
            that is not empty; nothing is written.
        ResourceError: `out` cannot be written, or a process was killed.
    """
    cohort = make_cohort(patients, seed=seed, law=law)
    for number in only:
        if not 1 <= number <= patients:
            raise UsageError(f"--only {number}: there are patients 1 to {patients}")
    if only:
        cohort = [patient for patient in cohort if patient.number + 1 in only]
    refuse_used(out)
    try:
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
            truths = _write_patients(out, cohort, (seed, spacing_mm, law), workers, progress)
            named = {} if law == "response" else {"law": law}
            document = {"for": "tests only", "seed": seed, **named, "patients": truths}
            write_whole(out / "truth.json", json.dumps(document, indent=1) + "\n")
    except BrokenProcessPool:
        raise ResourceError("a process that wrote a patient was killed; free memory and run again") from None


def _write_patients(
    out: Path,
    cohort: list[Patient],
    settings: tuple[int, tuple[float, float, float], str],
    workers: int | None,
    progress: Callable[[Iterable], Iterable],
) -> list[dict]:
    # spawn: a forked child would inherit the threads' locks of whatever the caller has loaded.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_interrupt_to_parent) as pool:
        futures = [pool.submit(_write_patient, out, patient, *settings) for patient in cohort]
        try:
            for future in progress(_Finished(futures)):
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)
    return [future.result() for future in futures]


def _leave_interrupt_to_parent() -> None:
    # Ctrl-C reaches the whole process group; a patient that is being written is finished, and no other begun.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Finished:
    """Futures in the order in which they end, with a length for a progress bar."""

    def __init__(self, futures: list[Future]) -> None:
        self._futures = futures

    def __len__(self) -> int:
        return len(self._futures)

    def __iter__(self):
        return as_completed(self._futures)


def _write_patient(out: Path, patient: Patient, seed: int, spacing_mm: tuple[float, float, float], law: str) -> dict:
    acquisitions = make_acquisitions(patient, seed, spacing_mm, law)
    first = acquisitions[0].visit
    folder = f"{first.patient_name.replace('^', '_')}_{first.patient_id}".upper()
    temporary = out / f".{folder}"
    drawn: dict[str, list[str | None]] = {}
    try:
        for one in acquisitions:
            drawn[one.session] = _write_visit(temporary / one.folder, patient, one)
            if patient.number % 4 == 1 and one.session != "pre":
                registration = spatial_registration(one.visit, first.frame_of_reference_uid, np.linalg.inv(one.motion))
                _save(registration, temporary / one.folder / "REG", "RE")
        treated = _write_treatment(temporary / acquisitions[0].folder, patient, first, drawn["pre"])
        temporary.rename(out / folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return {
        "patient_id": first.patient_id,
        "folder": folder,
        "registration": ("identity", "dicom", "identity", "rigid")[patient.number % 4],
        **treated,
        "visits": {
            one.session: {
                "folder": one.folder,
                "date": one.visit.date.isoformat(),
                "days": (one.visit.date - first.date).days,
                "spacing_mm": list(spacing_mm),
                "motion": one.motion.tolist(),
            }
            for one in acquisitions
        },
        "lesions": [
            {
                "group": "A" if is_poor(lesion) else "B",
                "roi": {session: drawn[session][number] for session in SESSIONS},
                "volume_mm3": {session: lesion.volume_mm3(session) for session in SESSIONS},
                **(
                    {}
                    if lesion.plan is None
                    else {"prescription_gy": lesion.plan.prescription_gy, "mean_dose_gy": lesion.mean_dose_gy}
                ),
            }
            for number, lesion in enumerate(patient.lesions)
        ],
    }


def _write_visit(folder: Path, patient: Patient, one: Acquisition) -> list[str | None]:
    """Write a visit's series and structure set; return each lesion's GTV name, None where it is not drawn."""
    for k in range(one.grid.size[2]):
        noisy = rician(_slice_signal(patient, one, k), one.rng)
        _save(mr_slice(one.visit, one.grid, k, noisy, one.storage), folder / "MR_T1", "MR")
    names = roi_names(patient, one.session)
    outlines = [_lesion_contours(one, lesion, 0.0) for lesion in patient.lesions]
    structures = [  # lesions are numbered after these, as `_write_treatment` counts
        Structure(name="External", kind="EXTERNAL", contours=_shell_contours(one, 1.0)),
        Structure(name="Brain", kind="ORGAN", contours=_shell_contours(one, BRAIN_SHELL)),
    ]
    drawn = [place for place, contours in enumerate(outlines) if contours]
    structures += [Structure(name=names[place], kind="GTV", contours=outlines[place]) for place in drawn]
    for place in drawn:
        contours = _lesion_contours(one, patient.lesions[place], PTV_MARGIN_MM)
        name = re.sub("GTV|Met", "PTV", names[place]).replace("gtv", "ptv")
        structures.append(Structure(name=name, kind="PTV", contours=contours))
    _save(structure_set(one.visit, one.grid, structures), folder / "RTSTRUCT", "RS")
    return [name if contours else None for name, contours in zip(names, outlines, strict=True)]


def _write_treatment(folder: Path, patient: Patient, visit: Visit, drawn: list[str | None]) -> dict:
    """Write plan and dose of a patient whose lesions have plans; return what `truth.json` says of them."""
    if patient.lesions[0].plan is None:
        return {}
    shown = [place for place, name in enumerate(drawn) if name is not None]
    plan = plan_of(visit, patient, {place: number for number, place in enumerate(shown, start=3)})
    _save(plan, folder / "RTPLAN", "RP")
    _save(dose_of(visit, patient), folder / "RTDOSE", "RD")
    return {"fractions": int(plan.FractionGroupSequence[0].NumberOfFractionsPlanned)}


def _save(dataset: Dataset, folder: Path, prefix: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    dataset.save_as(folder / f"{prefix}.{dataset.SOPInstanceUID}.dcm", enforce_file_format=True)


def _slice_signal(patient: Patient, one: Acquisition, k: int) -> np.ndarray:
    """Return slice k without noise, float64 [rows, columns]; air is 0."""
    columns, rows, _ = one.grid.size
    points = one.in_head(_indices((0, 0), (columns, rows), k))
    signal = np.zeros(points.shape[:-1])
    head = np.linalg.norm(points / HEAD_SEMI_AXES_MM, axis=-1) < _AIR_SHELL
    signal[head] = tissue_signal(patient, one.session, points[head])
    return signal


def _lesion_contours(one: Acquisition, lesion: Lesion, margin_mm: float) -> list[tuple[int, np.ndarray]]:
    """Return the outline of a lesion's surface, moved outwards by a margin along its radius."""

    def height_mm(points: np.ndarray) -> np.ndarray:
        offset = points - lesion.center_mm
        distance = np.linalg.norm(offset, axis=-1)
        directions = offset / np.maximum(distance, 1e-9)[..., None]
        return distance - lesion.surface_mm(directions, one.session) - margin_mm

    middle = one.to_index(lesion.center_mm)
    reach = (lesion.reach_mm(one.session) + margin_mm) / np.array(one.grid.spacing_mm)
    low, high = np.floor(middle - reach).astype(int) - 1, np.ceil(middle + reach).astype(int) + 1
    slices = range(max(low[2], 0), min(high[2] + 1, one.grid.size[2]))
    return _contours(one, height_mm, (low[0], low[1]), (high[0] + 1, high[1] + 1), slices)


def _shell_contours(one: Acquisition, shell: float) -> list[tuple[int, np.ndarray]]:
    """Return the outline of an ellipsoid of the head's shape, with as few points as a planning system would keep."""

    def height(points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points / HEAD_SEMI_AXES_MM, axis=-1) - shell

    columns, rows, slices = one.grid.size
    contours = _contours(one, height, (0, 0), (columns, rows), range(slices))
    few = [(k, points[::_KEPT_POINTS]) for k, points in contours]
    return [(k, points) for k, points in few if len(points) >= 3]


def _contours(
    one: Acquisition,
    height: Callable[[np.ndarray], np.ndarray],
    low: tuple[int, int],
    high: tuple[int, int],
    slices: range,
) -> list[tuple[int, np.ndarray]]:
    """Return where a function of the head's points changes sign, between the voxel centres of a part of each slice.

    A contour crosses the lines between neighbouring centres, so exactly the centres with a negative height are inside.
    """
    contours = []
    for k in slices:
        plane = height(one.in_head(_indices(low, high, k)))
        for points in find_contours(plane, 0.0):
            contours.append((k, points[:-1, ::-1] + np.array(low)))
    return contours


def _indices(low: tuple[int, int], high: tuple[int, int], k: int) -> np.ndarray:
    """Return indices (column, row, slice), float64 [rows, columns, 3], of a part of slice k."""
    columns, rows = np.meshgrid(np.arange(low[0], high[0], dtype=float), np.arange(low[1], high[1], dtype=float))
    return np.stack([columns, rows, np.full_like(columns, k)], axis=-1)
