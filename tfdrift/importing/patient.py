"""One patient's visits to a file of slices, and rows that say where they come from or why something is left out.

Nothing of what it returns or writes identifies: IDs are pseudonyms, dates are intervals, structures are numbers.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from tfdrift.cohort.crop import LesionSlices
from tfdrift.cohort.samples import Samples, save_samples
from tfdrift.errors import DataError, ResourceError
from tfdrift.imaging.structures import Roi
from tfdrift.importing.catalogue import FoundPatient
from tfdrift.importing.lesions import LesionRow, crop_pairs_of
from tfdrift.importing.pairing import Reason, RoiMask, pair_lesions
from tfdrift.importing.pseudonyms import pseudonym
from tfdrift.importing.sessions import Session, bring_onto, read_session, registration_files
from tfdrift.importing.target_names import is_target
from tfdrift.importing.visits import Exclusion, PatientVisit, choose_visits

GivenPairs = list[tuple[str, str, str | None]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportedPatient:
    """What came of a patient.

    Args:
        lesions: in the order of the first structure set, or of the pairs given.
        exclusions: everything else.
        acquisitions: allowed facts about the sequences of the first and the second MRI; empty without lesions.
    """

    lesions: tuple[LesionRow, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    acquisitions: tuple[dict[str, float | str], ...] = ()


def import_alone(
    patient: FoundPatient, part: Path, key: bytes, pattern: str, given: GivenPairs | None, options: dict[str, Any]
) -> ImportedPatient:
    """Call `import_patient` in a process that works for this patient alone, on one thread.

    Processors are shared out by patient, and the bits must not depend on how many there are.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return import_patient(patient, part, key=key, pattern=pattern, given=given, **options)


def import_patient(
    patient: FoundPatient,
    part: Path,
    *,
    key: bytes,
    pattern: str,
    given: GivenPairs | None,
    box: str,
    slices: str,
    mode: str,
    image_size: int,
    seed: int,
) -> ImportedPatient:
    """Pair a patient's lesions and write their slices.

    Whatever is wrong with the patient's data, or with the pairs given, is an exclusion.

    Args:
        patient: from `tfdrift.importing.catalogue.scan`.
        part: file to write with `save_samples`, all in fold 0; not written where no lesion is left.
        key: of the pseudonyms.
        pattern: which structures are lesions, see `is_target`.
        given: names of the pairs, see `read_pairs`; override the pattern.
        box: see `crop_lesion`.
        slices: see `crop_lesion`.
        mode: of the registration, see `register`.
        image_size: S.
        seed: of the registration.

    Raises:
        UsageError: an option is none of its values.
        ResourceError: the part cannot be written.
    """
    names = None if given is None else {name for row in given for name in row}

    def is_wanted(roi: Roi) -> bool:
        return is_target(roi.name, pattern) if names is None else roi.name.strip() in names

    visits, exclusions = choose_visits(patient, is_wanted)
    if len(visits) < 2:
        return ImportedPatient(exclusions=tuple(exclusions))
    why = str(Reason.NOT_A_TARGET if given is None else Reason.NOT_IN_TABLE)
    for visit in visits:
        unwanted = [roi.number for roi in visit.rois if not is_wanted(roi)]
        exclusions += [Exclusion(visit=visit.name, structure=number, reason=why) for number in unwanted]
        if len(unwanted) == len(visit.rois):
            reason = "no structure has the name of a lesion"
            exclusions.append(Exclusion(visit=visit.name, structure=None, reason=reason))
    sessions = _read_sessions(patient, visits, is_wanted, exclusions, mode=mode, seed=seed)
    if len(sessions) < 2:
        return ImportedPatient(exclusions=tuple(exclusions))
    if given and len(sessions) < len(visits):
        given = [(pre, post, None) for pre, post, _ in given]
    try:
        pairs = _pair(sessions, given, exclusions)
        if not pairs:
            return ImportedPatient(exclusions=tuple(exclusions))
        names_of = [pseudonym(key, "lesion", patient.patient_id, str(numbers[0])) for numbers in pairs]
        cut_out, spoilt = crop_pairs_of(sessions, pairs, names_of, box=box, slices=slices, image_size=image_size)
    except DataError as error:
        exclusions.append(Exclusion(visit="", structure=None, reason=str(error), broken=True))
        return ImportedPatient(exclusions=tuple(exclusions))
    exclusions += spoilt
    if not cut_out:
        return ImportedPatient(exclusions=tuple(exclusions))
    try:
        save_samples(part, _samples(pseudonym(key, "patient", patient.patient_id), cut_out))
    except OSError as error:
        raise ResourceError(f"a patient's slices cannot be written: {error.strerror}; free space") from None
    return ImportedPatient(
        lesions=tuple(row for row, _ in cut_out),
        exclusions=tuple(exclusions),
        acquisitions=tuple(session.visit.series.acquisition for session in sessions[:2]),
    )


def _read_sessions(
    patient: FoundPatient,
    visits: list[PatientVisit],
    is_wanted: Callable[[Roi], bool],
    exclusions: list[Exclusion],
    *,
    mode: str,
    seed: int,
) -> list[Session]:
    """Return the sessions on the first one's grid up to the first that cannot be used."""
    sessions: list[Session] = []
    for visit in visits:
        try:
            session, without_mask = read_session(visit, [roi for roi in visit.rois if is_wanted(roi)])
            if sessions:
                files = registration_files(patient)
                session = bring_onto(session, sessions[0], registration_files=files, mode=mode, seed=seed)
        except DataError as error:
            exclusions.append(Exclusion(visit=visit.name, structure=None, reason=str(error), broken=True))
            break
        exclusions += without_mask
        sessions.append(session)
    return sessions


def _pair(sessions: list[Session], given: GivenPairs | None, exclusions: list[Exclusion]) -> list[tuple[int, ...]]:
    """Return the ROINumbers of each pair at each session."""
    # Numbers stand for names, which two structures may share.
    lesions = [
        [RoiMask(name=str(number), mask=sitk.GetArrayViewFromImage(mask) > 0) for number, mask in session.masks.items()]
        for session in sessions
    ]
    numbered = None if given is None else [_numbers(sessions, row, place) for place, row in enumerate(given, start=1)]
    pairs, unpaired = pair_lesions(*lesions, pattern="", given=numbered)
    exclusions += [Exclusion(visit=one.visit, structure=int(one.roi), reason=str(one.reason)) for one in unpaired]
    return [tuple(int(roi.name) for roi in (pair.pre, pair.post, pair.follow_up) if roi) for pair in pairs]


def _numbers(sessions: list[Session], row: tuple[str, str, str | None], place: int) -> tuple[str, str, str | None]:
    """Return the ROINumbers, as text, of a pair that is given by names."""

    def number(name: str | None, at: int) -> str:
        rois = sessions[at].visit.rois if at < len(sessions) else ()
        found = [roi.number for roi in rois if roi.name.strip() == name]
        if len(found) != 1:
            raise DataError(
                f"pair {place} of this patient in the pairs table names {len(found)} structures of visit {at + 1}; "
                "it must name exactly one"
            )
        return str(found[0])

    return number(row[0], 0), number(row[1], 1), None if row[2] is None else number(row[2], 2)


def _samples(patient: str, cut_out: list[tuple[LesionRow, LesionSlices]]) -> Samples:
    counts = [row.slices for row, _ in cut_out]

    def per_slice(values: list, dtype: type = np.float32) -> np.ndarray:
        return np.repeat(np.array(values, dtype), counts)

    def crops(name: str) -> np.ndarray:
        return np.concatenate([getattr(one, name) for _, one in cut_out])

    return Samples(
        pre=crops("pre"),
        post=crops("post"),
        pre_mask=crops("pre_mask"),
        post_mask=crops("post_mask"),
        scale=crops("scale"),
        patient=per_slice([patient] * len(cut_out), np.str_),
        lesion=per_slice([row.lesion for row, _ in cut_out], np.str_),
        fold=per_slice([0] * len(cut_out), np.int32),
        pixel_mm=per_slice([row.pixel_mm for row, _ in cut_out]),
        pre_mm3=per_slice([row.pre_mm3 for row, _ in cut_out]),
        post_mm3=per_slice([row.post_mm3 for row, _ in cut_out]),
        follow_up_mm3=per_slice([np.nan if row.follow_up_mm3 is None else row.follow_up_mm3 for row, _ in cut_out]),
        conditions={"interval_days": per_slice([row.interval_days for row, _ in cut_out])},
    )
