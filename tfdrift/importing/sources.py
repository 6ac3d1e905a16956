"""Where patients can come from: the one table of sources. To add one, write an entry."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from tfdrift.cohort.tables import Exclusion
from tfdrift.errors import UsageError
from tfdrift.importing import dicom_source, nifti_source
from tfdrift.importing.catalogue import Progress
from tfdrift.importing.sessions import Patient
from tfdrift.importing.settings import ImportSettings

FindPatients = Callable[[Path, ImportSettings, Progress | None], tuple[Sequence[Patient], list[Exclusion]]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A kind of export.

    Args:
        recognises: whether a path looks like one of its exports; asked in the order of the table.
        find_patients: patients in an export, sorted by ID, and files that belong to none with the reason; given the
            path, the settings and what wraps the iteration over files.
        where: says where its patients are, for who misses some; goes on from their number.
    """

    recognises: Callable[[Path], bool]
    find_patients: FindPatients
    where: str = "are in the export"


SOURCES: dict[str, Source] = {
    "bids": Source(
        recognises=nifti_source.is_bids,
        find_patients=nifti_source.find_bids,
        where="are in the BIDS folder, each a folder sub-*",
    ),
    "table": Source(
        recognises=nifti_source.is_table,
        find_patients=nifti_source.find_table,
        where="are in the table",
    ),
    "dicom": Source(
        recognises=lambda _: True,
        find_patients=dicom_source.find_patients,
        where="are in the folder; tfdrift cohort scan lists what DICOM is there, and NIfTI is read from a BIDS folder "
        f"or a CSV table with the columns {', '.join(nifti_source.TABLE_COLUMNS)}",
    ),
}
"""By the name of `--source`; DICOM, which has no layout to be known by, comes last."""


def choose_source(path: Path, name: str = "auto") -> Source:
    """Return the source of a name, or for `auto` the first that recognises the path.

    Args:
        path: the export.
        name: a key of `SOURCES`, or `auto`.

    Raises:
        UsageError: unknown name.
    """
    if name == "auto":
        return next(source for source in SOURCES.values() if source.recognises(path))
    if name not in SOURCES:
        raise UsageError(f"--source {name}: choose from {', '.join(['auto', *SOURCES])}")
    return SOURCES[name]
