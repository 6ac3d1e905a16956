"""`tfdrift cohort`: from DICOM folders to a cohort."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from tfdrift.importing.settings import BOXES, REGISTER_MODES, SLICES, ImportSettings
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


@click.group()
def cohort() -> None:
    """Turn DICOM MR series and RTSTRUCT files into training pairs.

    Example:

      tfdrift cohort scan /data/patients
    """


@cohort.command()
@click.argument("dicom_dir", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
def scan(dicom_dir: Path, as_json: bool) -> None:
    """List the patients, studies, series and structure sets below a folder.

    Reads headers only, in any folder layout. What it prints names patients and files: it is for your own console.

    Example:

      tfdrift cohort scan /data/patients
    """
    import json

    from tqdm import tqdm

    from tfdrift.importing.catalogue import scan as scan_folder
    from tfdrift.importing.listing import to_document, to_text

    # disable=None: a bar on a terminal only
    found = scan_folder(dicom_dir, lambda files: tqdm(files, unit="file", disable=None))
    click.echo(json.dumps(to_document(found), indent=2) if as_json else to_text(found))


@cohort.command()
@click.option("--series", "series_dir", required=True, type=click.Path(path_type=Path), help="Folder of one MR series.")
@click.option("--rtstruct", required=True, type=click.Path(path_type=Path), help="The RTSTRUCT file drawn on it.")
@click.option("--roi", required=True, help="Name of the structure, as the planning system shows it.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="NIfTI file to write (.nii or .nii.gz).")
def mask(series_dir: Path, rtstruct: Path, roi: str, out: Path) -> None:
    """Write one structure as a mask on its own MR series' voxels.

    A voxel belongs to the mask when its centre is inside the contours. Prints the number of voxels, the volume and the
    centroid in patient coordinates (DICOM LPS).

    Example:

      tfdrift cohort mask --series MR_T1 --rtstruct RS.dcm --roi GTV --out gtv.nii.gz
    """
    from tfdrift.errors import DataError
    from tfdrift.imaging.matching import fits
    from tfdrift.imaging.nifti import write_nifti
    from tfdrift.imaging.series import read_series
    from tfdrift.imaging.structures import find_roi, mask_figures, rasterise, read_structures

    image, series = read_series(series_dir)
    structures = read_structures(rtstruct)
    structure = find_roi(structures, roi)
    reason = fits(structures, series)
    if reason:
        raise DataError(f"the structure set does not belong to this series: {reason}")
    inside, warnings = rasterise(structure, image)
    write_nifti(inside, out)
    for warning in warnings:
        click.echo(f"warning: structure {structure.number}: {warning}", err=True)
    figures = mask_figures(inside)
    click.echo(f"voxels    {figures.voxels}")
    click.echo(f"volume    {figures.volume_mm3:.1f} mm3")
    click.echo("centroid  {:.3f} {:.3f} {:.3f} mm".format(*figures.centroid_mm))


@cohort.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--patients", default=39, show_default=True, help="How many, at least 2.")
@click.option("--seed", default=0, show_default=True, help="Of everything; the same seed writes the same files.")
def phantom(out: Path, patients: int, seed: int) -> None:
    """Write a synthetic cohort as DICOM MR series and RTSTRUCT files, as a clinic would export it.

    Three visits a patient: before treatment, about 3 weeks and about 3 months later. Every other patient's visits have
    frames of reference of their own, with the head moved between them; half of those have a registration object. The
    truth is in OUT/truth.json. OUT must be empty or not exist.

    Example:

      tfdrift cohort phantom clinic --patients 6
    """
    from tqdm import tqdm

    from tfdrift.synthetic.phantom_dicom import write_phantom

    write_phantom(out, patients=patients, seed=seed, progress=lambda done: tqdm(done, unit="patient", disable=None))


@cohort.command("import")
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
    "--box", type=click.Choice(BOXES), default=ImportSettings.box, show_default=True, help="What the crop is made of."
)
@click.option(
    "--slices", type=click.Choice(SLICES), default=ImportSettings.slices, show_default=True, help="Slices a lesion."
)
@click.option(
    "--register", type=click.Choice(REGISTER_MODES), default=ImportSettings.register, show_default=True,
    help="How the second MRI comes onto the first.",
)  # fmt: skip
@click.option("--min-days", default=ImportSettings.min_days, show_default=True, help="Shortest interval of the MRIs.")
@click.option("--max-days", default=ImportSettings.max_days, show_default=True, help="Longest interval of the MRIs.")
@click.option(
    "--folds", default=ImportSettings.folds, show_default=True, help="Groups of patients, one held out at a time."
)
@click.option("--image-size", default=_USUAL_SIZE, show_default=True, help="Side of the crops in pixels.")
@click.option("--seed", default=ImportSettings.seed, show_default=True, help="Of the folds and of the registration.")
@click.option("--key", type=click.Path(path_type=Path), help="Key file of the pseudonyms.  [default: OUT.key]")
@click.option("--workers", type=int, help="Patients at a time.  [default: one for each processor]")
@click.option("--strict", is_flag=True, help="Write nothing and exit with 3 where something is broken.")
def import_(export: Path, out: Path, roi: str | None, **options: Any) -> None:
    """Make a cohort of the patients in an export: MR series and RTSTRUCT files of two visits, or three.

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
    document = import_cohort(export, out, settings=settings, write_slices=write, progress=_progress)
    click.echo(_summary(document, out, settings.key or out.with_name(f"{out.name}.key")))


@cohort.command()
@click.argument("folder", metavar="COHORT", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="PNG file.  [default: COHORT/contact_sheet.png]")
def show(folder: Path, out: Path | None) -> None:
    """Show what is in a cohort: a table of its folds, and every lesion on one contact sheet.

    Reads and checks every slice. On the sheet each lesion has its images before and after treatment, their difference,
    both contours and its figures; what a person should look at is framed in red.

    Example:

      tfdrift cohort show mycohort
    """
    from tfdrift.cohort.overview import describe_folds
    from tfdrift.cohort.prepared import read_description
    from tfdrift.cohort.tables import EXCLUSION_COLUMNS, LESION_COLUMNS, read_table

    description = read_description(folder)
    lesions = read_table(folder / "lesions.csv", LESION_COLUMNS)
    click.echo(describe_folds(description, lesions, read_table(folder / "exclusions.csv", EXCLUSION_COLUMNS)))
    start_tensorflow()
    from tfdrift.drawing.panels import write_png
    from tfdrift.importing.contact_sheet import draw_contact_sheet
    from tfdrift.training.data import load_samples

    picture = out or folder / "contact_sheet.png"
    write_png(draw_contact_sheet(load_samples(str(folder), image_size=description.image_size), lesions), picture)
    click.echo(f"\npicture: {picture}")


def _summary(document: dict[str, Any], out: Path, key_file: Path) -> str:
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
    lines += [
        f"keep        {key_file}, apart from the cohort: with it the same patients get the same pseudonyms",
        f"next        tfdrift train method1 --data {out}{size}",
    ]
    return "\n".join(lines)
