"""One patient's visits to a file of slices, and rows that say where they come from or why something is left out.

Nothing of what it returns or writes identifies: IDs are pseudonyms, dates are intervals, structures are numbers.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tfdrift.cohort.crop import CONTEXT, LesionSlices
from tfdrift.cohort.dose import DOSE
from tfdrift.cohort.earlier import EARLIER_COLUMNS, Courses, Earlier
from tfdrift.cohort.samples import Samples, save_samples
from tfdrift.cohort.tables import Exclusion, LesionRow
from tfdrift.errors import DataError
from tfdrift.files import writing
from tfdrift.importing.lesions import crop_pairs_of
from tfdrift.importing.pairing import GivenPair, Reason, RoiMask, pair_lesions
from tfdrift.importing.pseudonyms import pseudonym
from tfdrift.importing.sessions import EVERY, VISITS, Patient, Session, Visit, bring_onto
from tfdrift.importing.settings import ImportSettings
from tfdrift.importing.target_names import IsWanted, number_of, target_rule
from tfdrift.model.channels import with_neighbours

CALLED_WRONG = "called a wrong pair"
"""Why a lesion of `--exclude` is left out; a person's own words may hold a name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportedPatient:
    """What came of a patient.

    Args:
        lesions: in the order of the first visit's structures, or of the pairs given.
        exclusions: everything else.
        acquisitions: allowed facts about the sequences of the first and the second MRI; empty without lesions.
    """

    lesions: tuple[LesionRow, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    acquisitions: tuple[Mapping[str, float | str], ...] = ()


def import_alone(
    patient: Patient,
    part: Path,
    key: bytes,
    settings: ImportSettings,
    given: Sequence[GivenPair] | None,
    wrong: Set[str],
) -> ImportedPatient:
    """Call `import_patient` in a process that works for this patient alone, on one thread.

    Processors are shared out by patient, and the bits must not depend on how many there are.

    Args:
        patient: see `import_patient`.
        part: see there.
        key: see there.
        settings: see there.
        given: see there.
        wrong: see there.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return import_patient(patient, part, key=key, settings=settings, given=given, wrong=wrong)


def import_patient(
    patient: Patient,
    part: Path,
    *,
    key: bytes,
    settings: ImportSettings,
    given: Sequence[GivenPair] | None = None,
    wrong: Set[str] = frozenset(),
) -> ImportedPatient:
    """Pair a patient's lesions and write their slices.

    Whatever is wrong with the patient's data, or with the pairs given, is an exclusion.

    Args:
        patient: from a source.
        part: file to write with `save_samples`, all in fold 0; not written where no lesion is left.
        key: of the pseudonyms.
        settings: of the import.
        given: the pairs, see `read_pairs`; override the pattern.
        wrong: pseudonyms of lesions that a person has called wrong pairs; they are left out.

    Raises:
        ResourceError: the part cannot be written.
    """
    is_wanted = target_rule(settings.roi) if given is None else _named_in(given)
    visits, exclusions = patient.visits(is_wanted)
    every, acquisitions, courses = [], (), Courses()
    for places in _groups(len(visits), settings, given, exclusions):
        group, said = [visits[place] for place in places], []
        try:
            sessions = _sessions(group, is_wanted, said, settings, why=_why_unwanted(given))
            if len(sessions) > 1:
                pairs = _pair(group, sessions, given, said)
                cut_out = _cut_out(patient, sessions, pairs, key, settings, said, places, courses, wrong)
                acquisitions = acquisitions or tuple(session.acquisition for session in sessions[:2] if cut_out)
                every += cut_out
        except DataError as error:
            words = "" if places[:2] == (0, 1) else " and ".join(visit.name for visit in group)
            said.append(Exclusion(visit=words, structure=None, reason=str(error), broken=True))
        exclusions += [one for one in said if one not in exclusions]  # what two groups say of a visit is told once
    if every:
        named = pseudonym(key, "patient", patient.patient_id)
        channels = with_neighbours(settings.channel_names) if settings.lesion == CONTEXT else settings.channel_names
        _save(part, _samples(named, every, channels, with_earlier=settings.visits == EVERY))
    return ImportedPatient(
        lesions=tuple(row for row, _ in every), exclusions=tuple(exclusions), acquisitions=acquisitions
    )


def _groups(
    count: int, settings: ImportSettings, given: Sequence[GivenPair] | None, exclusions: list[Exclusion]
) -> list[tuple[int, ...]]:
    """Return which visits go together: the first two with their follow-up, and every other two where asked for."""
    groups: list[tuple[int, ...]] = [tuple(range(min(count, len(VISITS))))]
    if settings.visits == EVERY:
        others = [places for places in itertools.combinations(range(count), 2) if places != (0, 1)]
        if given is None:
            groups += others
        elif others:
            reason = "its pairs are given, which is for the first two visits; no other two are a pair"
            exclusions.append(Exclusion(visit="", structure=None, reason=reason))
    return groups


def _named_in(given: Sequence[GivenPair]) -> IsWanted:
    names = {name for row in given for name in row if name is not None}
    numbers = {number_of(name) for name in names} - {None}
    return lambda structure: structure.number in numbers or structure.name.strip() in names


def _why_unwanted(given: Sequence[GivenPair] | None) -> str:
    return str(Reason.NOT_A_TARGET if given is None else Reason.NOT_IN_TABLE)


def _sessions(
    visits: Sequence[Visit], is_wanted: IsWanted, exclusions: list[Exclusion], settings: ImportSettings, *, why: str
) -> list[Session]:
    """Return the sessions on the first one's grid up to the first that cannot be used; none where there are not two."""
    if len(visits) < 2:
        return []
    days = visits[1].day - visits[0].day
    if not settings.min_days <= days <= settings.max_days:
        raise DataError(
            f"{days} days between the two MRIs, outside {settings.min_days} to {settings.max_days}; check the dates, "
            "or ask for it with --min-days and --max-days"
        )
    for visit in visits:
        unwanted = [structure.number for structure in visit.structures if not is_wanted(structure)]
        exclusions += [Exclusion(visit=visit.name, structure=number, reason=why) for number in unwanted]
        if len(unwanted) == len(visit.structures):
            reason = "no structure has the name of a lesion"
            exclusions.append(Exclusion(visit=visit.name, structure=None, reason=reason))
    sessions: list[Session] = []
    for visit in visits:
        try:
            session, without_mask = visit.read([structure for structure in visit.structures if is_wanted(structure)])
            if sessions:
                session = bring_onto(session, sessions[0], mode=settings.register, seed=settings.seed)
        except DataError as error:
            exclusions.append(Exclusion(visit=visit.name, structure=None, reason=str(error), broken=True))
            break
        exclusions += without_mask
        sessions.append(session)
    return sessions


def _pair(
    visits: Sequence[Visit], sessions: list[Session], given: Sequence[GivenPair] | None, exclusions: list[Exclusion]
) -> list[tuple[int, ...]]:
    """Return the numbers of each pair's structures at each session."""
    # Numbers stand for names, which two structures may share.
    lesions = [
        [RoiMask(name=str(number), mask=sitk.GetArrayViewFromImage(mask) > 0) for number, mask in session.masks.items()]
        for session in sessions
    ]
    numbered = None
    if given is not None:
        lost = len(sessions) < len(visits)  # a follow-up that cannot be used costs no pair
        rows = [(pre, post, None if lost else follow_up) for pre, post, follow_up in given]
        numbered = [_numbers(visits, row, place) for place, row in enumerate(rows, start=1)]
    pairs, unpaired = pair_lesions(*lesions, pattern="", given=numbered)
    names = dict(zip(VISITS, (visit.name for visit in visits), strict=False))
    exclusions += [
        Exclusion(visit=names[one.visit], structure=int(one.roi), reason=str(one.reason)) for one in unpaired
    ]
    return [tuple(int(roi.name) for roi in (pair.pre, pair.post, pair.follow_up) if roi) for pair in pairs]


def _numbers(visits: Sequence[Visit], row: GivenPair, place: int) -> GivenPair:
    """Return the structures' numbers, as text, of a pair that is given by names, or by numbers such as #3."""

    def number(name: str, at: int) -> str:
        structures = visits[at].structures if at < len(visits) else ()
        found = [one.number for one in structures if one.number == number_of(name) or one.name.strip() == name]
        if len(found) != 1:
            raise DataError(
                f"pair {place} of this patient in the pairs table names {len(found)} structures of visit {at + 1}; "
                "it must name exactly one"
            )
        return str(found[0])

    return number(row[0], 0), number(row[1], 1), None if row[2] is None else number(row[2], 2)


def _cut_out(
    patient: Patient,
    sessions: list[Session],
    pairs: list[tuple[int, ...]],
    key: bytes,
    settings: ImportSettings,
    exclusions: list[Exclusion],
    places: tuple[int, ...],
    courses: Courses,
    wrong: Set[str],
) -> list[tuple[LesionRow, LesionSlices]]:
    told = () if places[:2] == (0, 1) else (f"visits {places[0]} {places[1]}",)
    named = [(numbers, pseudonym(key, "lesion", patient.patient_id, str(numbers[0]), *told)) for numbers in pairs]
    exclusions += [
        Exclusion(visit=sessions[0].name, structure=numbers[0], reason=CALLED_WRONG)
        for numbers, name in named
        if name in wrong
    ]
    pairs, names = [numbers for numbers, name in named if name not in wrong], [n for _, n in named if n not in wrong]
    if not pairs:
        return []
    first = sessions[0]
    for before, after, *_ in pairs:
        courses.add((places[1], after), day=first.day, volume_mm3=first.volumes_mm3[before])
    cut_out, spoilt = crop_pairs_of(
        sessions,
        pairs,
        names,
        box=settings.box,
        slices=settings.slices,
        image_size=settings.image_size,
        lesion=settings.lesion,
        channels=settings.channel_names,
    )
    exclusions += spoilt
    if settings.visits != EVERY:
        return cut_out
    earlier = {
        name: courses.before((places[0], numbers[0]), day=first.day, volume_mm3=first.volumes_mm3[numbers[0]])
        for name, numbers in zip(names, pairs, strict=True)
    }
    return [(_told_earlier(row, earlier[row.lesion]), crops) for row, crops in cut_out]


def _told_earlier(row: LesionRow, earlier: Earlier) -> LesionRow:
    if not earlier.is_known:
        return row
    return dataclasses.replace(row, earlier_days=int(earlier.days), earlier_ratio=earlier.ratio)


def _save(part: Path, samples: Samples) -> None:
    with writing("the slices of a patient", to_do="free space"):
        save_samples(part, samples)


def _samples(
    patient: str, cut_out: list[tuple[LesionRow, LesionSlices]], channels: tuple[str, ...], *, with_earlier: bool
) -> Samples:
    counts = [row.slices for row, _ in cut_out]

    def per_slice(values: list, dtype: type = np.float32) -> np.ndarray:
        return np.repeat(np.array(values, dtype), counts)

    def or_unknown(name: str) -> np.ndarray:
        values = [getattr(row, name) for row, _ in cut_out]
        return per_slice([np.nan if value is None else value for value in values])

    def crops(name: str) -> np.ndarray:
        return np.concatenate([getattr(one, name) for _, one in cut_out])

    fractions = per_slice([np.nan if row.fractions is None else row.fractions for row, _ in cut_out])
    return Samples(
        pre=crops("pre"),
        post=crops("post"),
        pre_mask=crops("pre_mask"),
        post_mask=crops("post_mask"),
        scale=crops("scale"),
        channels=channels,
        patient=per_slice([patient] * len(cut_out), np.str_),
        lesion=per_slice([row.lesion for row, _ in cut_out], np.str_),
        fold=per_slice([0] * len(cut_out), np.int32),
        pixel_mm=per_slice([row.pixel_mm for row, _ in cut_out]),
        pre_mm3=per_slice([row.pre_mm3 for row, _ in cut_out]),
        post_mm3=per_slice([row.post_mm3 for row, _ in cut_out]),
        follow_up_mm3=or_unknown("follow_up_mm3"),
        conditions={
            "interval_days": per_slice([row.interval_days for row, _ in cut_out]),
            "place": crops("place"),
            **({"fractions": fractions} if DOSE in channels else {}),
            **({name: or_unknown(name) for name in EARLIER_COLUMNS} if with_earlier else {}),
        },
        facts={"orientation": per_slice([row.orientation for row, _ in cut_out], np.str_)},
    )
