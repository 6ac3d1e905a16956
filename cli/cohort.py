"""`tfdrift cohort`: from DICOM folders to a cohort."""

import functools
from pathlib import Path

import click

from .quiet import start_tensorflow


class _Group(click.Group):
    """A group whose `import` is loaded when it is asked for: its options' choices stand with the libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "import"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != "import":
            return super().get_command(ctx, cmd_name)
        from .cohort_import import import_

        return import_


@click.group(cls=_Group)
def cohort() -> None:
    """Turn MR series with structure sets or segmentations into training pairs.

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
@click.option(
    "--rtstruct", "--structures", required=True, type=click.Path(path_type=Path),
    help="The RTSTRUCT or Segmentation (SEG) file drawn on it.",
)  # fmt: skip
@click.option(
    "--roi", required=True, metavar="NAME|#N", help="The structure by name, as the planning system shows it, or number."
)
@click.option("--by-place", is_flag=True, help="Take the structures although they refer to another series.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="NIfTI file to write (.nii or .nii.gz).")
def mask(series_dir: Path, rtstruct: Path, roi: str, by_place: bool, out: Path) -> None:
    """Write one structure as a mask on its own MR series' voxels.

    A voxel belongs to the mask when its centre is inside the contours; a Segmentation's voxels are taken as they are.
    Prints the number of voxels, the volume and the centroid in patient coordinates (DICOM LPS).

    Example:

      tfdrift cohort mask --series MR_T1 --rtstruct RS.dcm --roi GTV --out gtv.nii.gz
    """
    from tfdrift.errors import DataError
    from tfdrift.imaging.matching import doubt, fits, rois_on
    from tfdrift.imaging.nifti import write_nifti
    from tfdrift.imaging.series import read_series
    from tfdrift.imaging.structures import find_roi, mask_figures, rasterise, read_structures

    image, series = read_series(series_dir)
    structures = read_structures(rtstruct)
    structure = find_roi(structures, roi)
    reason = fits(structures, series, by_place=by_place)
    if reason:
        raise DataError(f"the structure set does not fit this series: {reason}")
    structure = rois_on(structures, series)[structures.rois.index(structure)]
    inside, warnings = rasterise(structure, image)
    write_nifti(inside, out)
    said = doubt(structures, series)
    if said:
        click.echo(f"warning: the structure set {said}", err=True)
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
@click.option(
    "--law", default="response", show_default=True, metavar="LAW",
    help="How the lesions change, as of `tfdrift train --law`.",
)  # fmt: skip
@click.option("--only", type=int, multiple=True, metavar="N", help="Write patient N alone; may be given again.")
def phantom(out: Path, patients: int, seed: int, law: str, only: tuple[int, ...]) -> None:
    """Write a synthetic cohort as DICOM MR series and RTSTRUCT files, as a clinic would export it.

    Three visits a patient: before treatment, about 3 weeks and about 3 months later. Every other patient's visits have
    frames of reference of their own, with the head moved between them; half of those have a registration object. The
    law `dose` adds an RTPLAN and an RTDOSE to the first visit. The truth is in OUT/truth.json. OUT must be empty or not
    exist.

    \b
    Example:
      tfdrift cohort phantom clinic --patients 6
      tfdrift cohort phantom treated --patients 6 --law dose
    """
    from tqdm import tqdm

    from tfdrift.synthetic.phantom_dicom import write_phantom

    bar = functools.partial(tqdm, unit="patient", disable=None)
    write_phantom(out, patients=patients, seed=seed, law=law, only=only, progress=bar)


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
    from tfdrift.drawing.figure import write_png
    from tfdrift.importing.contact_sheet import draw_contact_sheet
    from tfdrift.training.data import load_samples

    picture = out or folder / "contact_sheet.png"
    write_png(draw_contact_sheet(load_samples(str(folder), image_size=description.image_size), lesions), picture)
    click.echo(f"\npicture: {picture}")


@cohort.command()
@click.argument("folder", metavar="COHORT", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def export(folder: Path, out: Path) -> None:
    """Write a cohort's crops as NIfTI files with a table, for those who train with other programs.

    OUT gets slices.csv, a row for each slice (patient, lesion, slice, fold, days, volumes, response, file names), and
    the files: both MRIs and both masks of each slice. The numbers are the cohort's to the bit. OUT must be empty or not
    exist; it appears when all is done.

    Example:

      tfdrift cohort export cohort crops
    """
    from tfdrift.cohort.prepared import read_description
    from tfdrift.cohort.tables import LESION_COLUMNS, read_table
    from tfdrift.files import refuse_used, staged

    refuse_used(out)
    description = read_description(folder)
    lesions = read_table(folder / "lesions.csv", LESION_COLUMNS)
    start_tensorflow()
    from tfdrift.cohort.nifti_files import TABLE, export_crops
    from tfdrift.training.data import load_samples

    samples = load_samples(str(folder), image_size=description.image_size)
    with staged(out) as (whole, _):
        rows = export_crops(whole, samples, lesions)
    click.echo(f"exported    {rows} slices of {len(lesions)} lesions\ntable       {out / TABLE}")
