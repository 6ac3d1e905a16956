"""A clinic's export to a cohort for training: everything in one folder, which appears whole or not at all.

    OUT/lesions.csv        a row for each lesion
    OUT/exclusions.csv     a row for everything that is not in the cohort, with the reason
    OUT/contact_sheet.png  the lesions, drawn
    OUT/import.json        version, options, counts, facts about the sequences, and what `Description` says
    OUT/lesion_slices/     the slices as a TFDS dataset, a split for each fold

No name, date, ID or UID of the export gets into it: patients and lesions are keyed pseudonyms, dates are intervals,
structures are numbers, and of all DICOM attributes only those in `imaging.slices.ACQUISITION_NUMBERS` and
`ACQUISITION_CODES` are passed on.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from tfdrift import __version__
from tfdrift.axes import image_axes
from tfdrift.cluster import check_scheduler, run_anywhere
from tfdrift.cohort.folds import assign_folds
from tfdrift.cohort.prepared import describe
from tfdrift.cohort.samples import Samples, join_samples, read_samples
from tfdrift.cohort.tables import (
    LESION_COLUMNS,
    Exclusion,
    LesionRow,
    read_table,
    read_wrong_pairs,
    write_exclusions,
    write_lesions,
)
from tfdrift.drawing.figure import write_png
from tfdrift.errors import DataError, UsageError
from tfdrift.files import staged
from tfdrift.importing.contact_sheet import draw_contact_sheet
from tfdrift.importing.pairing import GivenPair, read_pairs
from tfdrift.importing.patient import ImportedPatient, import_alone
from tfdrift.importing.pseudonyms import pseudonym, read_or_make_key
from tfdrift.importing.report import collect_exclusions, count_all, most_common_reasons
from tfdrift.importing.sessions import Patient
from tfdrift.importing.settings import ImportSettings
from tfdrift.importing.sources import choose_source

LESIONS_ON_SHEET = 400
"""How many lesions the contact sheet shows, so that it stays a picture; `tfdrift cohort show` draws them all."""

WriteSlices = Callable[[Path, Sequence[Path], Mapping[str, int]], None]
Progress = Callable[[Iterable, int, str], Iterable]


def import_cohort(
    export: Path,
    out: Path,
    *,
    settings: ImportSettings,
    write_slices: WriteSlices,
    progress: Progress = lambda done, _total, _unit: done,
    echo: Callable[[str], None] = lambda _line: None,
) -> dict[str, Any]:
    """Import every patient of an export.

    Each patient has a process of its own; one that fails is a row of `exclusions.csv`. The same files, settings and key
    give the same bytes.

    Args:
        export: what a source reads, such as a folder of DICOM files in any layout.
        out: a folder that does not exist or is empty.
        settings: what is asked for.
        write_slices: `tfdrift.cohort.store.write_slices`, which needs TensorFlow.
        progress: wraps the iteration over files and patients; called with it, its length and its unit.
        echo: takes a line where a cluster has no worker.

    Returns:
        What is in `import.json`.

    Raises:
        UsageError: `out` is taken, the key would lie in it, or no scheduler answers.
        DataError: the export or the pairs cannot be read, no lesion or fewer patients than folds are left, no patient
            has a channel that is asked for, or `strict`.
        ResourceError: the key or `out` cannot be written.
    """
    source = choose_source(export, settings.source)
    key_file = settings.key or out.resolve().with_name(out.resolve().name + ".key")
    if key_file.resolve().is_relative_to(out.resolve()):
        raise UsageError("the key must lie outside the cohort, which others may see; give another --key")
    given = read_pairs(settings.pairs) if settings.pairs else {}
    wrong = read_wrong_pairs(settings.exclude) if settings.exclude else {}
    if settings.scheduler is not None:
        check_scheduler(settings.scheduler)
    with staged(out) as (whole, scratch):
        patients, refused = source.find_patients(export, settings, lambda files: progress(files, len(files), "file"))
        _check_enough(len(patients), settings.folds, source.where)
        key = read_or_make_key(key_file)
        imported = _import_each(patients, scratch, key, settings, given, frozenset(wrong), progress, echo)
        in_table = [pseudonym(key, "patient", one) for one in given]
        exclusions = collect_exclusions(imported, refused, in_table, len(wrong))
        if settings.strict and any(one.broken for _, one in exclusions):
            reasons = most_common_reasons(exclusions, broken=True)
            raise DataError(f"something is broken ({reasons}); nothing was written")
        kept = {name: imported[name] for name in sorted(imported) if imported[name].lesions}
        reasons = most_common_reasons(exclusions)
        _check_enough(len(kept), settings.folds, f"have a pair of lesions; left out were {reasons}")
        poor = [_poor_share(one.lesions) for one in kept.values()]
        fold_of = assign_folds(list(kept), poor, num_folds=settings.folds, seed=settings.seed)
        _check_channels(settings.channel_names, kept.values(), exclusions)
        parts = [scratch / f"{name}.npz" for name in kept]
        write_slices(whole, parts, fold_of)
        write_lesions(
            whole / "lesions.csv", [(name, row) for name, one in kept.items() for row in one.lesions], fold_of
        )
        write_exclusions(whole / "exclusions.csv", exclusions)
        document = {
            "version": __version__,
            **dataclasses.asdict(describe(parts, fold_of)),
            "options": settings.document(),
            **count_all(imported, exclusions),
        }
        (whole / "import.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        rows = read_table(whole / "lesions.csv", LESION_COLUMNS)
        write_png(draw_contact_sheet(_one_slice_each(parts), rows[:LESIONS_ON_SHEET]), whole / "contact_sheet.png")
    return document


def _import_each(
    patients: Sequence[Patient],
    scratch: Path,
    key: bytes,
    settings: ImportSettings,
    given: Mapping[str, Sequence[GivenPair]],
    wrong: Set[str],
    progress: Progress,
    echo: Callable[[str], None],
) -> dict[str, ImportedPatient]:
    """Return what came of each patient, by pseudonym; their slices are in `scratch`."""
    names = [pseudonym(key, "patient", patient.patient_id) for patient in patients]
    tasks = [
        (patient, scratch / f"{name}.npz", key, settings, given.get(patient.patient_id), wrong)
        for patient, name in zip(patients, names, strict=True)
    ]
    workers = settings.workers or os.cpu_count() or 1
    outcomes = run_anywhere(
        import_alone,
        tasks,
        workers=workers,
        scheduler=settings.scheduler,
        time_limit_seconds=settings.time_limit_seconds,
        echo=echo,
    )
    imported = {}
    # Closed, so that no process still writes when an exception here has the folders removed.
    with closing(outcomes):
        for outcome in progress(outcomes, len(tasks), "patient"):
            failed = Exclusion(visit="", structure=None, reason=outcome.fault, broken=True)
            imported[names[outcome.task]] = outcome.value or ImportedPatient(exclusions=(failed,))
    return imported


def _check_enough(patients: int, folds: int, why: str) -> None:
    if patients < folds:
        raise DataError(f"{folds} folds need as many patients (--folds), and {patients} {why}")


def _check_channels(
    names: Sequence[str], kept: Iterable[ImportedPatient], exclusions: Sequence[tuple[str, Exclusion]]
) -> None:
    known = {name for one in kept for row in one.lesions for name in row.channels.split()}
    for name in names[1:]:
        if name not in known:
            reasons = [(who, one) for who, one in exclusions if one.reason.startswith(f"channel {name}: ")]
            raise DataError(
                f"channel {name}: no patient has it: {most_common_reasons(reasons) or 'it is 0 in all GTVs'}"
            )


def _one_slice_each(parts: Sequence[Path]) -> Samples:
    """Return the slice of each lesion in which its GTVs are largest, up to `LESIONS_ON_SHEET` lesions."""
    shown: list[Samples] = []
    for part in parts:
        samples = read_samples(part)
        areas = (samples.pre_mask | samples.post_mask).sum(axis=image_axes(samples.pre_mask))
        best = {}
        for row in np.argsort(areas, kind="stable"):
            best[samples.lesion[row]] = row
        shown.append(samples.take(np.array(sorted(best.values()))))
        if sum(map(len, shown)) >= LESIONS_ON_SHEET:
            break
    return join_samples(shown)


def _poor_share(lesions: Sequence[LesionRow]) -> float:
    known = [lesion.response_group for lesion in lesions if lesion.response_group]
    return known.count("A") / len(known) if known else 0.5
