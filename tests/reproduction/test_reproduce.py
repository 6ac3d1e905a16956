"""Every figure of tiny networks with their first weights: what is written, and that its numbers are the runs'."""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
from skimage.io import imread

from tests.cli.test_train import write_digits
from tests.random_samples import make_samples
from tests.untrained_runs import leave_untrained
from tfdrift.cohort.samples import Samples
from tfdrift.errors import DataError, ResourceError, UsageError
from tfdrift.evaluation import outcomes
from tfdrift.reproduction import cached_runs
from tfdrift.reproduction.cached_runs import CachedRuns
from tfdrift.reproduction.experiments import EXPERIMENTS, FIGURES
from tfdrift.reproduction.reproduce import reproduce
from tfdrift.synthetic.phantom_samples import phantom_samples

TINY = {"steps": 2, "image_size": 8, "base_filters": 2, "depth": 1, "batch_size": 4, "levels": 3}
PICTURES = {
    "fig1b": [""], "fig2": ["a", "bc"], "fig3": ["a", "b", "c", "_levels"], "fig4": ["a", "b", "c"],
    "fig5": ["", "_levels"], "fig6": ["", "_levels"], "fig7": ["", "_core_and_rim"], "fig8": ["", "_core_and_rim"],
    "s1": ["", "_levels"], "s2": [""], "s3": ["", "_levels"], "s4": ["", "_levels"], "s5": ["", "_levels"],
}  # fmt: skip


class Everything(NamedTuple):
    """What `all` did."""

    folder: Path
    files: list[Path]
    said: list[str]
    lesions: Samples
    runs: CachedRuns


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """`all`, on four patients of a phantom in two folds and 14 zeros."""
    folder = tmp_path_factory.mktemp("reproduce")
    digits = write_digits(folder / "mnist.npz")
    lesions = phantom_samples(image_size=8, patients=4, folds=2, seed=1)
    said: list[str] = []
    runs = CachedRuns(
        folder / "runs", mnist_file=digits, overrides=TINY, echo=said.append, samples={"lesions": lesions}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cached_runs, "train", leave_untrained)
        # Of networks this small and asked once, graphs take longer to make than they save, and hold no memory.
        patch.setattr(outcomes, "_compile", lambda ask, *_: ask)
        patch.setattr(keras.backend, "clear_session", lambda: None)
        files = reproduce(["all"], folder / "out", runs, echo=said.append)
    return Everything(folder, files, said, lesions, runs)


def numbers(everything, name: str) -> dict:
    return json.loads((everything.folder / "out" / f"{name}.json").read_text())


def test_all_writes_every_picture_of_the_paper_and_its_numbers(everything):
    folder, files = everything.folder, everything.files
    expected = {f"{name}{ending}.png" for name, endings in PICTURES.items() for ending in endings}
    expected |= {f"{name}.json" for name in FIGURES}
    assert {path.name for path in files} == {path.name for path in (folder / "out").iterdir()} == expected


def test_every_picture_has_something_on_it(everything):
    for path in everything.files:
        if path.suffix == ".png":
            assert imread(path).std() > 10, path.name


def test_runs_are_shared_between_figures(everything):
    folders = list((everything.folder / "runs").iterdir())
    # Figs. 3 and 5 need three each, Fig. 6 one, Figs. 7 and 8 that one for another fold, S1, S3, S4 and S5 one each.
    assert len(folders) == 3 + 3 + 1 + 1 + 4
    assert len({json.loads((folder / "config.json").read_text())["train"]["steps"] for folder in folders}) == 1


def test_the_numbers_of_fig5_are_by_weight_and_level(everything):
    runs = numbers(everything, "fig5")["runs"]
    assert [run["settings"]["drift_weight"] for run in runs] == [1.0, 1.5, 3.0]
    for run in runs:
        assert [entry["level"] for entry in run["levels"]] == [2, 1, 0]
        assert set(run["levels"][0]["drift"]) == {"mse", "ssim", "skill"}


def test_a_figure_says_how_it_is_made_and_from_what(everything):
    lesions = everything.lesions
    for name in FIGURES:
        found = numbers(everything, name)
        options = "--steps 2 --image-size 8 --base-filters 2 --depth 1 --batch-size 4 --levels 3"
        assert found["command"] == f"tfdrift reproduce {name} {options}"
        assert found["pictures"] == [f"{name}{ending}.png" for ending in PICTURES[name]]
        if EXPERIMENTS[name].data == "lesions":
            assert found["data"] == {"name": "phantom", "fingerprint": lesions.fingerprint()}


def test_the_lesions_of_figs_7_and_8_are_in_their_groups(everything):
    lesions = everything.lesions
    poor_names = set(lesions.lesion[lesions.follow_up_mm3 >= 0.8 * lesions.pre_mm3].tolist())
    assert {one["lesion"] for one in numbers(everything, "fig7")["lesions"]} <= poor_names
    assert not {one["lesion"] for one in numbers(everything, "fig8")["lesions"]} & poor_names


def test_the_groups_true_drift_is_the_same_in_fig7_and_fig8_and_is_said(everything):
    first, second = (numbers(everything, name)["poor_minus_good"] for name in ("fig7", "fig8"))
    assert first == second
    assert set(first) == {f"{word} drift, {region}" for word in ("true", "predicted") for region in ("core", "rim")}
    test = first["true drift, rim"]
    begin, end = f"true drift, rim, poor - good: {test['value']:+.3f} [", f"], p = {test['p_value']:.2g}"
    assert any(begin in line and line.endswith(end) for line in everything.said)


def test_fig4_lists_the_rates_of_equation_2(everything):
    found = numbers(everything, "fig4")
    signal, noise = np.array(found["signal_rate"]), np.array(found["noise_rate"])
    np.testing.assert_allclose(signal**2 + (noise / 0.2) ** 2, np.ones(3))
    assert [line["step"] for line in found["losses"]] == [1, 2]


def test_fig1b_shows_a_lesion_that_grows_throughout_and_one_that_shrinks(everything):
    lesions = numbers(everything, "fig1b")["lesions"]
    growing, shrinking = (np.diff(lesions[word]["volumes_mm3"]) for word in ("growing", "shrinking"))
    assert (growing > 0).all()
    assert (shrinking < 0).all()


def test_a_second_call_writes_the_same_files(everything):
    out = everything.folder / "out"
    before = {path.name: path.read_bytes() for path in out.glob("s2*")}
    again = CachedRuns(
        everything.folder / "runs", overrides=TINY, echo=lambda _: None, samples={"lesions": everything.lesions}
    )
    reproduce(["s2"], out, again, echo=lambda _: None)
    assert {path.name: path.read_bytes() for path in out.glob("s2*")} == before


def test_a_table_has_a_row_a_run_and_compares_with_the_first_of_its_method(everything, monkeypatch):
    monkeypatch.setattr(cached_runs, "train", leave_untrained)
    fig6 = EXPERIMENTS["fig6"].runs[0]
    last = dataclasses.replace(fig6, label="drift of the last level", asked={"drift_from": "last"})
    table = dataclasses.replace(EXPERIMENTS["table"], runs=(fig6, last))
    monkeypatch.setitem(EXPERIMENTS, "table", table)
    files = reproduce(["table"], everything.folder / "tables", everything.runs, echo=lambda _: None)
    assert [path.name for path in files] == ["table.png", "table.md", "table.json"]
    found = json.loads(files[-1].read_text())
    assert [(one["run"], one["than"]) for one in found["compared"]] == [("drift of the last level", "Method 2")]
    assert found["runs"][0]["patients"] == 4
    assert files[1].read_text().count("\n") == 4


def no_training(tmp_path, samples) -> CachedRuns:
    return CachedRuns(tmp_path / "runs", overrides=TINY, echo=lambda _: None, samples=samples)


def test_an_unknown_name_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(UsageError, match=r"fig9: choose from all, fig1b, .*, readings"):
        reproduce(["fig4", "fig9"], tmp_path / "out", no_training(tmp_path, {}), echo=print)
    assert list(tmp_path.iterdir()) == []


def test_data_without_a_response_are_refused_before_any_training(tmp_path):
    without = dataclasses.replace(make_samples(), follow_up_mm3=np.full(12, np.nan, np.float32))
    with pytest.raises(DataError, match="fig8 compares lesions by response; at their follow-up 0 keep 80%"):
        reproduce(["fig5", "fig8"], tmp_path / "out", no_training(tmp_path, {"lesions": without}), echo=print)
    assert not (tmp_path / "runs").exists()


def test_missing_mnist_is_refused_before_any_training(tmp_path):
    runs = CachedRuns(
        tmp_path / "runs",
        mnist_file=tmp_path / "no.npz",
        overrides=TINY,
        echo=print,
        samples={"lesions": make_samples()},
    )
    with pytest.raises(DataError, match=r"no\.npz does not exist"):
        reproduce(["fig5", "fig3"], tmp_path / "out", runs, echo=print)
    assert not (tmp_path / "runs").exists()


def test_data_where_no_lesion_grows_throughout_are_refused(tmp_path):
    samples = make_samples()
    samples = dataclasses.replace(samples, post_mm3=0.9 * samples.pre_mm3, follow_up_mm3=0.8 * samples.pre_mm3)
    with pytest.raises(DataError, match="no lesion of the data is growing"):
        reproduce(["fig5", "fig1b"], tmp_path / "out", no_training(tmp_path, {"lesions": samples}), echo=print)


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResourceError, match="cannot write to"):
        reproduce(["fig5"], tmp_path / "file", no_training(tmp_path, {"lesions": make_samples()}), echo=print)
