"""A prepared cohort in a few lines of text: its folds with their response groups, and what was left out."""

from collections import Counter
from collections.abc import Mapping, Sequence

from tfdrift.cohort.prepared import Description
from tfdrift.errors import DataError


def describe_folds(
    description: Description, lesions: Sequence[Mapping[str, str]], exclusions: Sequence[Mapping[str, str]]
) -> str:
    """Return the overview of a cohort, several lines.

    Args:
        description: what `import.json` says.
        lesions: rows of `lesions.csv`.
        exclusions: rows of `exclusions.csv`.

    Raises:
        DataError: the lesions have not as many slices as `import.json` says.
    """
    slices = sum(int(row["slices"]) for row in lesions if row["slices"].isdecimal())
    if slices != description.slices:
        raise DataError(
            f"lesions.csv accounts for {slices} slices, import.json for {description.slices}; import the cohort again"
        )
    size = description.image_size
    by_fold = {str(fold): [row for row in lesions if row["fold"] == str(fold)] for fold in range(description.folds)}
    lines = [
        f"{description.slices} slices of {size} x {size} pixels; train with --image-size {size}",
        f"fingerprint {description.fingerprint}",
        "",
        f"{'fold':>4}  {'patients':>8}  {'lesions':>7}  {'A poor':>6}  {'B good':>6}  {'unknown':>7}",
        *(_fold_line(name, rows) for name, rows in by_fold.items()),
        _fold_line("all", lesions),
        "",
    ]
    reasons = Counter(row["reason"] for row in exclusions)
    lines.append(f"left out: {len(exclusions)}" + (", see exclusions.csv" if exclusions else ""))
    lines += [f"{count:>4}  {reason}" for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item))]
    return "\n".join(lines)


def _fold_line(name: str, rows: Sequence[Mapping[str, str]]) -> str:
    groups = Counter(row["response_group"] or "unknown" for row in rows)
    patients = len({row["patient"] for row in rows})
    return f"{name:>4}  {patients:>8}  {len(rows):>7}  {groups['A']:>6}  {groups['B']:>6}  {groups['unknown']:>7}"
