"""A catalogue as text for a terminal and as one document for programs; both name patients, as the catalogue does."""

import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tfdrift.imaging.matching import ABSENT
from tfdrift.importing.catalogue import Catalogue, FoundPatient, FoundSeries, FoundStructures

_FILES_SHOWN = 10


def to_document(catalogue: Catalogue) -> dict[str, Any]:
    """Return a catalogue as plain values for JSON."""
    return {
        "files": catalogue.num_files,
        "patients": [
            {
                "patient_id": patient.patient_id,
                "name": patient.name,
                "studies": [
                    {
                        "study_uid": study.uid,
                        "date": study.date.isoformat() if study.date else None,
                        "days_apart": study.days_apart,
                        "series": [_series_document(found, catalogue.folder) for found in study.series],
                        "structure_sets": [
                            _structures_document(found, catalogue.folder, _by_uid(patient))
                            for found in study.structure_sets
                        ],
                        "others": {modality: len(paths) for modality, paths in study.others.items()},
                    }
                    for study in patient.studies
                ],
            }
            for patient in catalogue.patients
        ],
        "refused": [{"file": _shown(path, catalogue.folder), "reason": reason} for path, reason in catalogue.refused],
    }


def to_text(catalogue: Catalogue) -> str:
    """Return a catalogue as an indented tree, fit for any terminal: characters that would steer it are replaced."""
    num_studies = num_series = num_sets = 0
    lines = []
    for patient in catalogue.patients:  # once: each is put together anew
        num_studies += len(patient.studies)
        num_series += sum(len(study.series) for study in patient.studies)
        num_sets += sum(len(study.structure_sets) for study in patient.studies)
        lines += ["", f"{patient.patient_id}" + (f"  {patient.name}" if patient.name != patient.patient_id else "")]
        for study in patient.studies:
            apart = f"  dates up to {study.days_apart} days apart" if study.days_apart > 1 else ""
            lines.append(f"  {study.date or 'no date'}{apart}")
            lines += [f"    {_series_line(found)}" for found in study.series]
            for found in study.structure_sets:
                lines += [f"    {line}" for line in _structures_lines(found, catalogue.folder, _by_uid(patient))]
            if study.others:
                lines.append("    other: " + ", ".join(f"{kind} {len(paths)}" for kind, paths in study.others.items()))
    head = (
        f"{catalogue.num_files} files: {_count(len(catalogue.patients), 'patient')}, "
        f"{_count(num_studies, 'study', 'studies')}, {_count(num_series, 'series', 'series')}, "
        f"{_count(num_sets, 'structure set')}; {len(catalogue.refused)} not read"
    )
    counts: Counter[str] = Counter()
    by_reason: dict[str, list[Path]] = defaultdict(list)
    for path, reason in catalogue.refused:
        counts[reason] += 1
        if counts[reason] <= _FILES_SHOWN:
            by_reason[reason].append(path)
    if by_reason:
        lines += ["", "not read"]
    for reason, paths in sorted(by_reason.items()):
        lines.append(f"  {_count(counts[reason], 'file')}: {reason}")
        lines += [f"    {_shown(path, catalogue.folder)}" for path in paths]
        if counts[reason] > len(paths):
            lines.append(f"    and {counts[reason] - len(paths)} more; --json lists all")
    return "\n".join("".join(char if char.isprintable() else "?" for char in line).rstrip() for line in [head, *lines])


def _shown(path: Path, folder: Path) -> str:
    # File names are bytes; those that are not UTF-8 would break the output.
    return os.fsencode(path.relative_to(folder)).decode("utf-8", "backslashreplace")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _by_uid(patient: FoundPatient) -> dict[str, FoundSeries]:
    return {one.uid: one for study in patient.studies for one in study.series}


def _name(found: FoundSeries) -> str:
    return f"{found.modality} {found.number}"


def _remark(found: FoundStructures, series: dict[str, FoundSeries]) -> str:
    """Return what is wrong with the series that a structure set refers to; empty where nothing is."""
    if found.structures is None:
        return ""
    uids = sorted(found.structures.series_uids)
    if not uids:
        return "refers to no series"
    if any(uid not in series for uid in uids):
        return ABSENT
    unusable = [_name(series[uid]) for uid in uids if series[uid].series is None]
    return f"refers to {', '.join(unusable)}: not a volume" if unusable else ""


def _series_document(found: FoundSeries, folder: Path) -> dict[str, Any]:
    grid = found.series.grid if found.series else None
    return {
        "series_uid": found.uid,
        "number": found.number,
        "description": found.description,
        "modality": found.modality,
        "slices": found.num_slices,
        "size": list(grid.size) if grid else None,
        "spacing_mm": list(grid.spacing_mm) if grid else None,
        "orientation": grid.orientation if grid else None,
        "folders": sorted({_shown(file.parent, folder) for file in found.files}),
        "fault": found.fault or None,
    }


def _structures_document(found: FoundStructures, folder: Path, series: dict[str, FoundSeries]) -> dict[str, Any]:
    rois = [
        {
            "name": one.roi.name,
            "number": one.roi.number,
            "contours": len(one.roi.contours_mm),
            "frames": len(one.roi.frames),
            "fits": [series.series_uid for series in one.fits],
            "warnings": list(one.roi.warnings),
            "fault": one.roi.fault or None,
        }
        for one in found.rois
    ]
    return {
        "file": _shown(found.file, folder),
        "modality": found.modality,
        "label": found.label,
        "rois": rois,
        "remark": _remark(found, series) or None,
        "fault": found.fault or None,
    }


def _series_line(found: FoundSeries) -> str:
    head = f"{_name(found)}  "
    if found.series is None:
        return f"{head}{_count(found.num_slices, 'slice')}, not a volume: {found.fault}"
    columns, rows, slices = found.series.grid.size
    spacing = " x ".join(f"{mm:.4g}" for mm in found.series.grid.spacing_mm)
    return (
        f"{head}{_count(slices, 'slice')} of {columns} x {rows}, {spacing} mm, {found.series.grid.orientation}"
        f"  {found.description}"
    )


def _structures_lines(found: FoundStructures, folder: Path, series: dict[str, FoundSeries]) -> list[str]:
    lines = [f"{found.modality} {found.label}  {_shown(found.file, folder)}"]
    if _remark(found, series):
        lines.append(f"  {_remark(found, series)}")
    if found.fault:
        lines.append(f"  cannot be used: {found.fault}")
    width = max((len(one.roi.name) for one in found.rois), default=0)
    for one in found.rois:
        fitting = ", ".join(_name(series[fitted.series_uid]) for fitted in one.fits) or "no series"
        remarks = "".join(f"; {remark}" for remark in (one.roi.fault, *one.roi.warnings) if remark)
        kind, drawn = ("frame", one.roi.frames) if found.modality == "SEG" else ("contour", one.roi.contours_mm)
        lines.append(
            f"  {one.roi.number:>3} {one.roi.name:<{width}}  {_count(len(drawn), kind)}, fits {fitting}{remarks}"
        )
    return lines
