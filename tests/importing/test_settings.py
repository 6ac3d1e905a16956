import dataclasses
import json
import math
from pathlib import Path

import pytest

from tfdrift.errors import UsageError
from tfdrift.importing.settings import ImportSettings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "--folds 1: must be 2 or more"),
        ({"image_size": 7}, "--image-size 7: must be 8 or more"),
        ({"seed": -1}, "--seed -1: must be 0 or more"),
        ({"workers": 0}, "--workers 0: must be 1 or more"),
        ({"time_limit_seconds": 0.0}, "--time-limit-seconds 0.0: must be 1 or more"),
        ({"time_limit_seconds": math.nan}, "--time-limit-seconds nan: must be 1 or more"),
        ({"min_days": -1}, "--min-days -1: must be 0 or more"),
        ({"max_days": 20, "min_days": 21}, "--max-days 20: must be 1 or more, and at least --min-days 21"),
        ({"roi": "GTV("}, "is not a regular expression"),
        ({"roi": "#GTV"}, "--roi #GTV: numbers of structures look like #3 or #3,#5"),
        ({"box": "post"}, "--box post: choose from pre, union"),
        ({"slices": "two"}, "--slices two: choose from three, all"),
        ({"register": "affine"}, "--register affine: choose from auto, rigid, identity"),
        ({"channels": "T1,T2=("}, "--channels T2=...: no regular expression"),
    ],
)
def test_what_is_out_of_range_is_refused_by_the_option(options, message):
    with pytest.raises(UsageError) as refused:
        ImportSettings(**options)
    assert message in str(refused.value)


def test_no_path_and_no_pattern_gets_into_the_document():
    settings = ImportSettings(roi="Doe", pairs=Path("Doe.csv"), key=Path("Doe.key"))
    assert "Doe" not in json.dumps(settings.document())
    assert (settings.document()["roi"], settings.document()["pairs"]) == ("given", True)


def test_channels_are_told_by_name_and_not_by_pattern():
    settings = ImportSettings(channels="T1,T2=Doe,dose")
    assert settings.document()["channels"] == ["T1", "T2", "dose"]
    assert "Doe" not in json.dumps(settings.document())
    assert "channels" not in ImportSettings().document()


@pytest.mark.parametrize("change", [{"box": "union"}, {"slices": "all"}, {"register": "rigid"}, {"seed": 1}], ids=str)
def test_what_decides_about_the_slices_is_in_the_document(change):
    assert dataclasses.replace(ImportSettings(), **change).document() != ImportSettings().document()
