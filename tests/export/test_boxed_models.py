from pathlib import Path

import pytest

import tfdrift
from tfdrift.export.boxed_models import boxed_folder, model_or_boxed


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package with one boxed model, and an empty folder to work in."""
    (tmp_path / "site/tfdrift/saved_models/direct").mkdir(parents=True)
    monkeypatch.setattr(tfdrift, "__file__", str(tmp_path / "site/tfdrift/__init__.py"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "site/tfdrift/saved_models"


@pytest.mark.parametrize("named", ["direct", "saved_models/direct"])
def test_a_boxed_model_is_found_from_an_empty_folder(installed, named):
    assert boxed_folder() == installed
    assert model_or_boxed(Path(named)) == installed / "direct"


@pytest.mark.usefixtures("installed")
def test_a_model_of_ones_own_comes_first():
    Path("saved_models/direct").mkdir(parents=True)
    assert model_or_boxed(Path("saved_models/direct")) == Path("saved_models/direct")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("named", ["other", "saved_models/other", "elsewhere/direct"])
def test_another_name_stays_as_it_is(named):
    assert model_or_boxed(Path(named)) == Path(named)


def test_without_boxed_models_a_name_stays_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(tfdrift, "__file__", str(tmp_path / "tfdrift/__init__.py"))
    assert boxed_folder() is None
    assert model_or_boxed(Path("direct")) == Path("direct")
