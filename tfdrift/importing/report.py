"""What an import tells of itself: its counts for `import.json`, and everything left out with the reason."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfdrift.cohort.tables import Exclusion, LesionRow
from tfdrift.importing.patient import CALLED_WRONG, ImportedPatient

ABSENT = Exclusion(visit="", structure=None, reason="in the pairs table, and not among the files", broken=True)


def collect_exclusions(
    imported: Mapping[str, ImportedPatient],
    refused: Sequence[Exclusion],
    in_table: Iterable[str],
    called_wrong: int = 0,
) -> list[tuple[str, Exclusion]]:
    """Return every exclusion with the pseudonym of its patient, which is empty for files that cannot be read.

    Args:
        imported: what came of each patient, by pseudonym.
        refused: files that belong to no patient.
        in_table: pseudonyms of the patients in the table of pairs.
        called_wrong: how many lesions the table of wrong pairs names.
    """
    rows = [(name, exclusion) for name in sorted(imported) for exclusion in imported[name].exclusions]
    rows += [(name, ABSENT) for name in sorted(set(in_table) - set(imported))]
    missing = called_wrong - sum(exclusion.reason == CALLED_WRONG for _, exclusion in rows)
    if missing:
        reason = f"{missing} of the wrong pairs: not among the lesions; they may be of another key or other patients"
        rows.append(("", Exclusion(visit="", structure=None, reason=reason, broken=True)))
    return rows + [("", exclusion) for exclusion in refused]


def most_common_reasons(exclusions: Sequence[tuple[str, Exclusion]], *, broken: bool = False) -> str:
    """Return the five most common reasons with their counts, for a message.

    Args:
        exclusions: from `collect_exclusions`.
        broken: count only what is wrong with the data.
    """
    counts = Counter(one.reason for _, one in exclusions if one.broken or not broken)
    return ", ".join(f"{count} x '{reason}'" for reason, count in counts.most_common(5))


def count_all(imported: Mapping[str, ImportedPatient], exclusions: Sequence[tuple[str, Exclusion]]) -> dict[str, Any]:
    """Return the counts of `import.json`, what the series have in common or not, and what a person should know.

    Args:
        imported: what came of each patient, by pseudonym.
        exclusions: from `collect_exclusions`.
    """
    kept = [one for one in imported.values() if one.lesions]
    lesions = [row for one in kept for row in one.lesions]
    orientations = Counter(row.orientation for row in lesions)
    return {
        "patients": len(kept),
        "patients_found": len(imported),
        "lesions": len(lesions),
        "lesions_with_warnings": sum(bool(row.warnings) for row in lesions),
        "lesions_outgrown": sum(row.outgrown > 0 for row in lesions),
        "response_groups": _sorted(Counter(row.response_group or "unknown" for row in lesions)),
        "orientations": _sorted(orientations),
        "warnings": _warnings(lesions, orientations),
        "excluded": _sorted(Counter(one.reason for _, one in exclusions)),
        "broken": sum(one.broken for _, one in exclusions),
        "sequences": _sequences(kept),
    }


def _warnings(lesions: Sequence[LesionRow], orientations: Counter[str]) -> list[str]:
    if len(orientations) < 2:
        return []
    counts = ", ".join(f"{count} {orientation}" for orientation, count in sorted(orientations.items()))
    return [
        f"the slices lie in several directions (of {len(lesions)} lesions {counts}), which a model takes for one; "
        "import each apart, or train knowing it"
    ]


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
