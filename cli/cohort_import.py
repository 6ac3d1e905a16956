"""`tfdrift cohort import`: the one command whose options come from libraries that take long to load."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from tfdrift.cohort.crop import CONTEXT
from tfdrift.importing.settings import BOXES, LESIONS, REGISTER_MODES, SLICES, VISIT_CHOICES, ImportSettings
from tfdrift.importing.sources import SOURCES

from .quiet import start_tensorflow

_REASONS_SHOWN = 8
_USUAL_SIZE = ImportSettings.image_size


def _progress(done: Iterable, total: int, unit: str) -> Iterator:
    """A bar on a terminal; elsewhere, such as in the log of a long job, a line for each patient."""
    from tqdm import tqdm

    for number, one in enumerate(tqdm(done, total=total, unit=unit, disable=None), start=1):
        if unit == "patient" and not sys.stderr.isatty():
            click.echo(f"patient {number} of {total}", err=True)
        yield one


@click.command("import")
@click.argument("export", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--source", type=click.Choice(["auto", *SOURCES]), default=ImportSettings.source, show_default=True,
    help="What kind of export it is.",
)  # fmt: skip
@click.option(
    "--roi", metavar="REGEX|#N", help="Which structures are lesions, by name or number.  [default: GTV, Met, BM ...]"
)
@click.option(
    "--pairs", type=click.Path(path_type=Path), help="CSV of pairs: patient, pre_roi, post_roi, follow_up_roi."
)
@click.option(
    "--visits", type=click.Choice(VISIT_CHOICES), default=ImportSettings.visits, show_default=True,
    help="The first two a pair and the third their follow-up, or also every other two a pair.",
)  # fmt: skip
@click.option(
    "--exclude", type=click.Path(path_type=Path), help="CSV of wrong pairs to leave out: patient, lesion, reason."
)
@click.option(
    "--box", type=click.Choice(BOXES), default=ImportSettings.box, show_default=True, help="What the crop is made of."
)
@click.option(
    "--slices", type=click.Choice(SLICES), default=ImportSettings.slices, show_default=True, help="Slices a lesion."
)
@click.option(
    "--lesion", type=click.Choice(LESIONS), default=ImportSettings.lesion, show_default=True,
    help="What a crop is: a slice of a lesion, with its neighbours (context), or all of it on isotropic pixels.",
)  # fmt: skip
@click.option(
    "--channels", default=ImportSettings.channels, metavar="T1,NAME[=REGEX],dose",
    help="More channels than the MRI that lesions are drawn on: other series of its study, by their description, and "
    "the dose.  [default: one]",
)  # fmt: skip
@click.option(
    "--register", type=click.Choice(REGISTER_MODES), default=ImportSettings.register, show_default=True,
    help="How the second MRI comes onto the first.",
)  # fmt: skip
@click.option(
    "--by-place", is_flag=True, help="Match structures whose series is not in the export by place, with a warning."
)
@click.option("--components", is_flag=True, help="Each connected part of a mask is a lesion (NIfTI).")
@click.option("--min-days", default=ImportSettings.min_days, show_default=True, help="Shortest interval of the MRIs.")
@click.option("--max-days", default=ImportSettings.max_days, show_default=True, help="Longest interval of the MRIs.")
@click.option(
    "--folds", default=ImportSettings.folds, show_default=True, help="Groups of patients, one held out at a time."
)
@click.option("--image-size", default=_USUAL_SIZE, show_default=True, help="Side of the crops in pixels.")
@click.option("--seed", default=ImportSettings.seed, show_default=True, help="Of the folds and of the registration.")
@click.option("--key", type=click.Path(path_type=Path), help="Key file of the pseudonyms.  [default: OUT.key]")
@click.option("--workers", type=int, help="Patients at a time.  [default: one for each processor]")
@click.option(
    "--scheduler", metavar="ADDRESS", help="Import on the workers of a Dask cluster, such as tcp://10.0.0.1:8786."
)
@click.option("--strict", is_flag=True, help="Write nothing and exit with 3 where something is broken.")
def import_(export: Path, out: Path, roi: str | None, **options: Any) -> None:
    """Make a cohort of the patients in an export: MR series with an RTSTRUCT or SEG, two visits or more.

    OUT gets lesions.csv, exclusions.csv (everything left out, and why), import.json, contact_sheet.png and the slices.
    It holds no name, ID or date: patients have pseudonyms made with OUT.key, which you keep apart. OUT appears when all
    is done; after a crash, run the same command again.

    Example:

      tfdrift cohort import clinic cohort
    """
    from tfdrift.importing.cohort import import_cohort

    def write(*arguments: Any) -> None:
        start_tensorflow()
        from tfdrift.cohort.store import write_slices

        write_slices(*arguments)

    if roi is not None:
        options["roi"] = roi
    settings = ImportSettings(**options)
    document = import_cohort(export, out, settings=settings, write_slices=write, progress=_progress, echo=_say)
    click.echo(_summary(document, out, settings))


def _say(line: str) -> None:
    click.echo(line, err=True)


def _summary(document: dict[str, Any], out: Path, settings: ImportSettings) -> str:
    key_file = settings.key or out.with_name(f"{out.name}.key")
    left_out = sorted(document["excluded"].items(), key=lambda item: (-item[1], item[0]))
    groups = ", ".join(f"{group} {count}" for group, count in document["response_groups"].items())
    lines = [
        f"imported    {document['patients']} of {document['patients_found']} patients, {document['lesions']} lesions, "
        f"{document['slices']} slices, {document['folds']} folds; response {groups}",
        f"left out    {sum(document['excluded'].values())}, see {out / 'exclusions.csv'}",
        *(f"    {count:6d}  {reason}" for reason, count in left_out[:_REASONS_SHOWN]),
    ]
    if len(left_out) > _REASONS_SHOWN:
        lines.append(f"            and {len(left_out) - _REASONS_SHOWN} other reasons")
    if document["broken"]:
        lines.append(f"broken      {document['broken']} of these, which a new export may mend")
    lines.append(
        f"look at     {out / 'contact_sheet.png'}; lesions with a warning: {document['lesions_with_warnings']}"
    )
    if document["lesions_outgrown"]:
        lines.append(f"outgrown    {document['lesions_outgrown']} lesions leave their box; --box union makes room")
    lines += [f"warning     {text}" for text in document["warnings"]]
    size = f" --image-size {document['image_size']}" if document["image_size"] != _USUAL_SIZE else ""
    seen = f" --lesion {CONTEXT}" if settings.lesion == CONTEXT else ""
    lines += [
        f"keep        {key_file}, apart from the cohort: with it the same patients get the same pseudonyms",
        f"next        tfdrift train method1 --data {out}{size}{seen}",
    ]
    return "\n".join(lines)
