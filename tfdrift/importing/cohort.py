"""A clinic's DICOM export to a cohort for training: everything in one folder, which appears whole or not at all.

    OUT/lesions.csv        a row for each lesion
    OUT/exclusions.csv     a row for everything that is not in the cohort, with the reason
    OUT/contact_sheet.png  the lesions, drawn
    OUT/import.json        version, options, counts, facts about the sequences, and what `Description` says
    OUT/lesion_slices/     the slices as a TFDS dataset, a split for each fold

No name, date, ID or UID of the export gets into it: patients and lesions are keyed pseudonyms, dates are intervals,
structures are ROINumbers, and of all DICOM attributes only those in `imaging.slices.ACQUISITION_NUMBERS` and
`ACQUISITION_CODES` are passed on.
"""

import dataclasses
import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from tfdrift import __version__
from tfdrift.axes import image_axes
from tfdrift.cohort.overview import LESION_COLUMNS, read_table
from tfdrift.cohort.prepared import describe
from tfdrift.cohort.samples import Samples, assign_folds, join_samples, read_samples
from tfdrift.cohort.tables import write_exclusions, write_lesions
from tfdrift.drawing.figure import write_png
from tfdrift.errors import DataError, UsageError
from tfdrift.files import staged
from tfdrift.imaging.registration import REGISTER_MODES
from tfdrift.importing.catalogue import Catalogue, scan
from tfdrift.importing.contact_sheet import draw_contact_sheet
from tfdrift.importing.lesions import LesionRow
from tfdrift.importing.pairing import read_pairs
from tfdrift.importing.patient import ImportedPatient, import_alone
from tfdrift.importing.pseudonyms import pseudonym, read_or_make_key
from tfdrift.importing.target_names import DEFAULT_ROI_PATTERN, is_target
from tfdrift.importing.visits import Exclusion
from tfdrift.processes import run_each

BOXES = ("pre", "union")
SLICES = ("three", "all")

TIME_LIMIT_SECONDS = 3600.0
"""What a patient may take. Two rigid registrations of large heads take minutes."""

LESIONS_ON_SHEET = 400
"""How many lesions the contact sheet shows, so that it stays a picture; `tfdrift cohort show` draws them all."""

WriteSlices = Callable[[Path, Sequence[Path], Mapping[str, int]], None]


def import_cohort(
    dicom_dir: Path,
    out: Path,
    *,
    write_slices: WriteSlices,
    roi: str = DEFAULT_ROI_PATTERN,
    pairs: Path | None = None,
    box: str = "pre",
    slices: str = "three",
    mode: str = "auto",
    folds: int = 5,
    image_size: int = 32,
    seed: int = 0,
    key_file: Path | None = None,
    workers: int | None = None,
    strict: bool = False,
    time_limit_seconds: float = TIME_LIMIT_SECONDS,
    progress: Callable[[Iterable, int, str], Iterable] = lambda done, _total, _unit: done,
) -> dict[str, Any]:
    """Import every patient below a folder.

    Each patient has a process of its own; one that fails is a row of `exclusions.csv`. The same files, options and key
    give the same bytes.

    Args:
        dicom_dir: any layout.
        out: a folder that does not exist or is empty.
        write_slices: `tfdrift.cohort.store.write_slices`, which needs TensorFlow.
        roi: which structures are lesions, see `is_target`.
        pairs: table for `read_pairs`; it decides for the patients it names.
        box: see `crop_lesion`.
        slices: see `crop_lesion`.
        mode: of the registration, see `register`.
        folds: number of folds, at least 2.
        image_size: S.
        seed: of the folds and the registration.
        key_file: of the pseudonyms; made where there is none. By default `<out>.key` beside `out`.
        workers: processes; by default one for each processor.
        strict: refuse, and write nothing, where something is broken.
        time_limit_seconds: for a patient.
        progress: wraps the iteration over files and patients; called with it, its length and its unit.

    Returns:
        What is in `import.json`.

    Raises:
        UsageError: an option is none of its values, or `out` is taken.
        DataError: the folder or the pairs cannot be read, no lesion or fewer patients than folds are left, or `strict`.
        ResourceError: the key or `out` cannot be written.
    """
    is_target("", roi)  # refuses what is no regular expression
    for option, value, values in (("box", box, BOXES), ("slices", slices, SLICES), ("register", mode, REGISTER_MODES)):
        if value not in values:
            raise UsageError(f"--{option} {value}: choose from {', '.join(values)}")
    workers = os.cpu_count() or 1 if workers is None else workers
    if folds < 2 or image_size < 8 or seed < 0 or workers < 1 or time_limit_seconds < 1:
        raise UsageError(
            "--folds must be at least 2, --image-size 8, --seed 0, --workers 1 and the time limit 1 second"
        )
    key_file = key_file or out.resolve().with_name(out.resolve().name + ".key")
    if key_file.resolve().is_relative_to(out.resolve()):
        raise UsageError("the key must lie outside the cohort, which others may see; give another --key")
    given = read_pairs(pairs) if pairs else {}
    with staged(out) as (whole, scratch):
        catalogue = scan(dicom_dir, lambda files: progress(files, len(files), "file"))
        _check_enough(len(catalogue.patients), folds, "are in the folder; tfdrift cohort scan lists what is there")
        key = read_or_make_key(key_file)
        names = [pseudonym(key, "patient", patient.patient_id) for patient in catalogue.patients]
        options = {"box": box, "slices": slices, "mode": mode, "image_size": image_size, "seed": seed}
        tasks = [
            (patient, scratch / f"{name}.npz", key, roi, given.get(patient.patient_id), options)
            for patient, name in zip(catalogue.patients, names, strict=True)
        ]
        imported = {}
        # Closed, so that no process still writes when an exception here has the folders removed.
        with closing(run_each(import_alone, tasks, workers=workers, time_limit_seconds=time_limit_seconds)) as outcomes:
            for outcome in progress(outcomes, len(tasks), "patient"):
                failed = Exclusion(visit="", structure=None, reason=outcome.fault, broken=True)
                imported[names[outcome.task]] = outcome.value or ImportedPatient(exclusions=(failed,))
        exclusions = _exclusions(catalogue, imported, [pseudonym(key, "patient", one) for one in given])
        if strict and any(one.broken for _, one in exclusions):
            raise DataError(f"something is broken ({_most_common(exclusions, broken=True)}); nothing was written")
        kept = {name: imported[name] for name in sorted(imported) if imported[name].lesions}
        _check_enough(len(kept), folds, f"have a pair of lesions; left out were {_most_common(exclusions)}")
        poor = [_poor_share(one.lesions) for one in kept.values()]
        fold_of = assign_folds(list(kept), poor, num_folds=folds, seed=seed)
        parts = [scratch / f"{name}.npz" for name in kept]
        write_slices(whole, parts, fold_of)
        lesions = [(name, row) for name, one in kept.items() for row in one.lesions]
        write_lesions(whole / "lesions.csv", lesions, fold_of)
        write_exclusions(whole / "exclusions.csv", exclusions)
        document = {
            "version": __version__,
            **dataclasses.asdict(describe(parts, fold_of)),
            # A pattern or a table that was given may hold a name, so it is only said that there was one.
            "options": {
                "roi": "default" if roi == DEFAULT_ROI_PATTERN else "given",
                "pairs": pairs is not None,
                "box": box,
                "slices": slices,
                "register": mode,
                "seed": seed,
            },
            **_counts(imported, [row for _, row in lesions], [one for _, one in exclusions]),
            "sequences": _sequences(kept.values()),
        }
        (whole / "import.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        rows = read_table(whole / "lesions.csv", LESION_COLUMNS)
        write_png(draw_contact_sheet(_one_slice_each(parts), rows[:LESIONS_ON_SHEET]), whole / "contact_sheet.png")
    return document


def _check_enough(patients: int, folds: int, why: str) -> None:
    if patients < folds:
        raise DataError(f"{folds} folds need as many patients (--folds), and {patients} {why}")


def _exclusions(
    catalogue: Catalogue, imported: dict[str, ImportedPatient], in_table: list[str]
) -> list[tuple[str, Exclusion]]:
    """Return every exclusion with the pseudonym of its patient, which is empty for files that cannot be read."""
    rows = [(name, exclusion) for name in sorted(imported) for exclusion in imported[name].exclusions]
    absent = Exclusion(visit="", structure=None, reason="in the pairs table, and not among the files", broken=True)
    rows += [(name, absent) for name in sorted(set(in_table) - set(imported))]
    for reason, count in sorted(Counter(reason for _, reason in catalogue.refused).items()):
        broken = not reason.endswith("is not a DICOM file")
        reason = f"{count} {'file' if count == 1 else 'files'}: {reason}"
        rows.append(("", Exclusion(visit="", structure=None, reason=reason, broken=broken)))
    return rows


def _most_common(exclusions: list[tuple[str, Exclusion]], *, broken: bool = False) -> str:
    counts = Counter(one.reason for _, one in exclusions if one.broken or not broken)
    return ", ".join(f"{count} x '{reason}'" for reason, count in counts.most_common(5))


def _counts(
    imported: Mapping[str, ImportedPatient], lesions: list[LesionRow], exclusions: list[Exclusion]
) -> dict[str, Any]:
    return {
        "patients": sum(bool(one.lesions) for one in imported.values()),
        "patients_found": len(imported),
        "lesions": len(lesions),
        "lesions_with_warnings": sum(bool(row.warnings) for row in lesions),
        "lesions_outgrown": sum(row.outgrown > 0 for row in lesions),
        "response_groups": _sorted(Counter(row.response_group or "unknown" for row in lesions)),
        "excluded": _sorted(Counter(one.reason for one in exclusions)),
        "broken": sum(one.broken for one in exclusions),
    }


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


def _sequences(patients: Iterable[ImportedPatient]) -> dict[str, dict[str, int]]:
    """Return for each allowed attribute how many series have which value."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for patient in patients:
        for acquisition in patient.acquisitions:
            for keyword, value in acquisition.items():
                counts[keyword][value if isinstance(value, str) else f"{value:g}"] += 1
    return {keyword: _sorted(counts[keyword]) for keyword in sorted(counts)}


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))
