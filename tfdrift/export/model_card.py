"""The model card: what a model was trained on, how well it does, and what it must not be used for."""

import re
from html import escape
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tfdrift.cohort.gtv_regions import REGIONS
from tfdrift.methods import METHODS
from tfdrift.model.columns import column_of
from tfdrift.model.conditions import Conditions
from tfdrift.model.inputs import read_inputs
from tfdrift.statistics.intervals import interval_words

NOT_SCORED = "This version has not been scored on held-out patients: nothing is known of how well it does."
DATA = {
    "phantom": "tfdrift's synthetic cohort, drawn lesions that change by a known law",
    "mnist": "MNIST digits that grow and shrink, a toy",
    "cohort": "the lesions of one imported cohort",
}
NOT_CALIBRATED = (
    "It was not calibrated: the intervals that `tfdrift predict` gives are the raw spread of its outcomes, which is "
    "far too narrow. `tfdrift export --calibration` takes what a cross-validation has found."
)


def model_card(document: dict[str, Any]) -> str:
    """Return the card as Markdown.

    Args:
        document: what `assets/config.json` says of the model.
    """
    train = document["train"]
    return _TEMPLATES.get_template("model_card.md").render(
        method=METHODS[train["method"]],
        side=train["image_size"],
        outcomes=document["samples"],
        trained_on=DATA[train["data"]],
        of_patients=train["data"] == "cohort",
        regions=REGIONS,
        members=document.get("members", []),
        channels=read_inputs(document["data"].get("inputs", {})).names,
        conditions=_conditions(read_inputs(document["data"].get("inputs", {})).conditions),
        guided=read_inputs(document["data"].get("inputs", {})).conditions.has_classes,
        not_scored=NOT_SCORED,
        not_calibrated=NOT_CALIBRATED,
        **{name: document[name] for name in ("data", "step", "metrics", "calibration", "tfdrift", "trained_with")},
    )


def _conditions(conditions: Conditions) -> list[dict[str, str]]:
    """Return a row for each number that the model may be told."""
    rows = []
    for name, places in conditions.places().items():
        seen = conditions.classes_of(name)
        for place in places:
            low, high = conditions.low[place], conditions.high[place]
            classes = ", ".join(f"{number} {one}" for number, one in enumerate(seen))
            meaning = column_of(name).meaning
            rows.append({"name": name, "meaning": meaning, "seen": classes or f"{low:.4g} to {high:.4g}"})
    return rows


def literal(text: str) -> str:
    """Return a text of the data so that it stands in the card as it is: no Markdown, no HTML, one line.

    Example:
        >>> literal("0.1.0"), literal("*b*"), literal("<i>")
        ('0.1.0', '\\\\*b\\\\*', '&lt;i&gt;')
    """
    return re.sub(r"([\\`*_\[\]!#])", r"\\\1", escape(" ".join(str(text).split()), quote=False))


def code(text: str) -> str:
    """Return a text of the data as a code span, whose end it cannot write itself.

    Example:
        >>> code("ab`12")
        '`ab12`'
    """
    return f"`{' '.join(str(text).replace('`', '').split())}`"


_TEMPLATES = Environment(
    loader=PackageLoader("tfdrift.export"),
    autoescape=False,  # it is Markdown; what shows it as HTML escapes it as a whole
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.filters |= {"interval": interval_words, "literal": literal, "code": code}
