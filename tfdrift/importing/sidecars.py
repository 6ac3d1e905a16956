"""Facts about a NIfTI image from the JSON files that BIDS keeps beside and above it.

    sub-01_ses-1_ce-gd_T1w.json    beside the image
    T1w.json                       in any folder from the data set's root down, for every image with its entities

What is nearer to the image counts (BIDS' inheritance principle). Nothing in these files is needed: what cannot be used
is left out, and a file that cannot be read is warned of.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tfdrift.imaging.slices import ACQUISITION_CODES, ACQUISITION_NUMBERS

UNREADABLE = "a JSON file of its image cannot be read, so sequence and contrast agent may not be known"

_IN_SECONDS = ("RepetitionTime", "EchoTime", "InversionTime")  # DICOM has them in milliseconds
_SUFFIX = "_T1w"


class Sidecar(NamedTuple):
    """What is known of how an image was taken, as `tfdrift.importing.sessions.Session` has it.

    Args:
        acquisition: facts that may leave the import, by DICOM keyword and in DICOM's units.
        with_contrast: whether a contrast agent was given; None where nothing tells.
        sequence_name: of the pulse sequence, empty where nothing tells; must not be written.
        warnings: what could not be read, without identity.
    """

    acquisition: Mapping[str, float | str]
    with_contrast: bool | None
    sequence_name: str
    warnings: tuple[str, ...]


def read_sidecar(image: Path, root: Path | None = None) -> Sidecar:
    """Read what JSON files say of an image.

    In a data set a contrast agent is one that they or the name's `ce` name, else there was none. Of a file of its own
    nothing tells that there was none.

    Args:
        image: a NIfTI file.
        root: of the BIDS data set that it stands in; None looks beside the image alone, for a file of its name.
    """
    stem = image.name.removesuffix(".gz").removesuffix(".nii")
    files = [image.with_name(f"{stem}.json")] if root is None else _inherited(stem, image.parent, root)
    said: dict[str, Any] = {}
    warnings: tuple[str, ...] = ()
    for file in files:
        try:
            found = json.loads(file.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            found = None
        if isinstance(found, dict):
            said |= found
        else:
            warnings = (UNREADABLE,)
    agent = bool(said.get("ContrastBolusIngredient")) or (root is not None and "_ce-" in stem)
    unknown = root is None or bool(warnings)
    name = said.get("SequenceName") or said.get("PulseSequenceName") or ""
    return Sidecar(
        acquisition=_acquisition(said),
        with_contrast=agent or (None if unknown else False),
        sequence_name=name.strip() if isinstance(name, str) else "",
        warnings=warnings,
    )


def _inherited(stem: str, folder: Path, root: Path) -> list[Path]:
    """Return the files for an image from the root down to its folder, in each the most general first."""
    entities = set(stem.removesuffix(_SUFFIX).split("_"))
    folders = [one for one in (*reversed(folder.parents), folder) if one == root or root in one.parents]
    files = []
    for one in folders:
        for file in [*one.glob(f"{_SUFFIX[1:]}.json"), *one.glob(f"*{_SUFFIX}.json")]:
            own = set(file.stem.removesuffix(_SUFFIX[1:]).rstrip("_").split("_")) - {""}
            if own <= entities:
                files.append((folders.index(one), len(own), file))
    return [file for _, _, file in sorted(files)]


def _acquisition(said: Mapping[str, Any]) -> dict[str, float | str]:
    facts: dict[str, float | str] = {}
    for keyword in ACQUISITION_NUMBERS:
        value = said.get(keyword)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            facts[keyword] = value * 1000.0 if keyword in _IN_SECONDS else float(value)
    for keyword, terms in ACQUISITION_CODES.items():
        value = said.get(keyword)
        # An array, or one text with DICOM's backslash or, as converters write it, an underscore.
        codes = re.split(r"[\\_]", value) if isinstance(value, str) else value
        if isinstance(codes, list) and codes and all(isinstance(code, str) and code in terms for code in codes):
            facts[keyword] = "\\".join(codes)
    return facts
