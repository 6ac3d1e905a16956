import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.conftest import TINY
from tests.untrained_runs import leave_untrained
from tfdrift.config import train_config
from tfdrift.errors import DataError, StoppedError, UsageError
from tfdrift.evaluation import crossval
from tfdrift.evaluation.answers import ask
from tfdrift.evaluation.assessment import assess
from tfdrift.evaluation.crossval import beside, cross_validate, with_others
from tfdrift.evaluation.document import as_document, read_metrics
from tfdrift.evaluation.metrics import squared_errors
from tfdrift.evaluation.report import write_report
from tfdrift.evaluation.results import read_results
from tfdrift.training import run_folder

CONFIG = train_config("direct", **{**TINY, "checkpoint_every": 1})


def run(out, phantom, **given):
    lines = []
    given = {"folds": [0, 2], "count": 2, "samples": phantom, **given}
    return cross_validate(CONFIG, out, echo=lines.append, **given), lines


@pytest.fixture(scope="module")
def crossed(phantom, tmp_path_factory):
    folder = tmp_path_factory.mktemp("crossval") / "direct"
    return folder, run(folder, phantom)[0]


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_patient_is_scored_once_by_the_run_of_its_fold(crossed, phantom):
    folder, metrics = crossed
    results = read_results(folder)
    held_out = phantom.take(phantom.fold != 1)
    assert sorted(results.column("direct", "lesion")) == sorted(held_out.lesion)
    assert (metrics.folds, metrics.patients) == ([0, 2], len(set(held_out.patient)))
    of_fold = [read_fold(folder / f"fold{fold}-seed0") for fold in (0, 2)]
    total = sum(found.skill.value * weight(phantom, fold) for found, fold in zip(of_fold, (0, 2), strict=True))
    assert metrics.skill.value == pytest.approx(total, abs=1e-5)


def read_fold(folder):
    """Return what `tfdrift train` would have written for the run alone."""
    return read_metrics(folder)


def weight(phantom, fold):
    """Return the share of the change of folds 0 and 2 that lies in one of them."""
    change = squared_errors(phantom.pre, phantom.post)
    return change[phantom.fold == fold].sum() / change[phantom.fold != 1].sum()


def test_folds_are_the_groups_of_calibration(crossed, phantom):
    _, metrics = crossed
    smallest = min(len(set(phantom.patient[phantom.fold == fold])) for fold in (0, 2))
    assert metrics.ours.uncertainty.drift.calibration_patients == smallest


def test_again_nothing_is_trained_and_the_report_is_the_same(crossed, phantom):
    folder, _ = crossed
    before = contents(folder)
    _, lines = run(folder, phantom)
    assert lines == ["fold 0, seed 0 (1 of 2 folds)", "fold 2, seed 0 (2 of 2 folds)"]
    assert contents(folder) == before


def test_with_several_workers_every_run_is_trained_before_the_first_is_scored(phantom, tmp_path, monkeypatch):
    asked = {}

    def stop(jobs, **settings):
        asked["jobs"] = [(config.fold, config.seed, folder.name) for config, folder, _ in jobs]
        asked["workers"] = settings["workers"]
        raise StoppedError("enough", 15)

    monkeypatch.setattr(crossval, "train_all", stop)
    with pytest.raises(StoppedError):
        run(tmp_path, phantom, members=2, workers=3)
    runs = [(fold, seed, f"fold{fold}-seed{seed}") for fold in (0, 2) for seed in (0, 1)]
    assert asked == {"jobs": runs, "workers": 3}
    assert list(tmp_path.iterdir()) == []


def test_runs_that_were_trained_side_by_side_are_only_scored(crossed, phantom):
    folder, metrics = crossed
    again, _ = run(folder, phantom, workers=2)
    assert as_document(again) == as_document(metrics)


def test_what_a_killed_one_left_is_completed_to_the_same_bits(crossed, phantom, tmp_path):
    folder, metrics = crossed
    out = tmp_path / "direct"
    shutil.copytree(folder / "fold0-seed0", out / "fold0-seed0")  # killed in the first step of the second fold
    again, _ = run(out, phantom)
    assert as_document(again) == as_document(metrics)
    assert (out / "report.md").read_bytes() == (folder / "report.md").read_bytes()


def test_members_of_a_fold_differ_in_their_seed(crossed, phantom, tmp_path, monkeypatch):
    monkeypatch.setattr(crossval, "train", leave_untrained)
    folder, _ = crossed
    shutil.copytree(folder / "fold0-seed0", tmp_path / "direct" / "fold0-seed0")
    metrics, _ = run(tmp_path / "direct", phantom, folds=[0], members=2)
    assert (tmp_path / "direct" / "fold0-seed1").is_dir()
    assert (metrics.label, metrics.outcomes) == ("direct, 2 runs", 2)
    assert as_document(metrics.ours)["uncertainty"]["drift"]["width"]["raw"] > 0


def test_other_settings_in_the_same_folder_are_refused(crossed, phantom):
    folder, _ = crossed
    other = dataclasses.replace(CONFIG, learning_rate=0.5)
    with pytest.raises(UsageError, match=r"learning_rate: 0\.5, not 0\.001"):
        cross_validate(other, folder, folds=[0], echo=lambda _line: None, samples=phantom)


@pytest.mark.parametrize("folds", [[3], [], [0, 7]])
def test_folds_that_do_not_exist_are_refused(phantom, tmp_path, folds):
    with pytest.raises(UsageError, match="the data have folds 0,1,2"):
        run(tmp_path / "direct", phantom, folds=folds)


def test_a_leak_in_the_last_fold_is_refused_before_the_first_is_trained(phantom, tmp_path):
    copied = phantom.take(np.append(np.arange(len(phantom)), np.flatnonzero(phantom.fold == 1)[0]))
    copied.patient[-1], copied.lesion[-1], copied.fold[-1] = "somebody", "somebody-1", 2
    with pytest.raises(DataError, match="share an image; merge the two"):
        run(tmp_path / "direct", copied, folds=None)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def written(assessed, make_answers, tmp_path_factory):
    """Folders of two evaluations beside each other, with something else between them."""
    folder = tmp_path_factory.mktemp("written")
    write_report(folder / "method1", assessed, make_answers())
    answers = make_answers("direct", shrink=0.7, count=1)
    write_report(folder / "direct", assess(answers), answers)
    (folder / "notes").mkdir()
    return folder


@pytest.fixture
def two_methods(written, tmp_path):
    """A copy of them that a test may change."""
    return Path(shutil.copytree(written, tmp_path / "two"))


def test_other_methods_are_found_beside(two_methods, assessed):
    found = beside(two_methods / "method1", assessed.metrics)
    assert [results.label for results in found] == ["direct"]


def test_other_data_beside_are_passed_over(two_methods, assessed):
    assert beside(two_methods / "method1", dataclasses.replace(assessed.metrics, fingerprint="other")) == []
    assert beside(two_methods / "method1", dataclasses.replace(assessed.metrics, folds=[0])) == []


def test_the_same_method_beside_gets_the_name_of_its_folder(two_methods, assessed):
    shutil.copytree(two_methods / "method1", two_methods / "again")
    found = beside(two_methods / "method1", assessed.metrics)
    assert [results.label for results in found] == ["Method 1 (again)", "direct"]


def test_a_damaged_evaluation_beside_is_named(two_methods, assessed):
    (two_methods / "direct" / "metrics.json").write_text("{")
    with pytest.raises(DataError, match="direct holds no evaluation that can be read"):
        beside(two_methods / "method1", assessed.metrics)


def test_every_two_methods_are_compared(two_methods, assessed, make_answers):
    rivals = beside(two_methods / "method1", assessed.metrics)
    found = with_others(assess(make_answers()), rivals).metrics
    assert as_document(found.methods["direct"]) == as_document(assessed.metrics.methods["direct"])
    assert list(found.methods)[-1] == "true second MRI"
    pairs = [(entry.first, entry.second) for entry in found.comparisons]
    assert pairs == [("Method 1", "mean drift"), ("Method 1", "direct")]
    direct = assessed.metrics.comparisons[1]
    assert found.comparisons[1].difference == pytest.approx(direct.difference)


def test_one_fold_chooses_no_level_and_the_report_says_why(phantom, tmp_path, monkeypatch):
    monkeypatch.setattr(crossval, "train", leave_untrained)
    config = train_config("method1", **TINY)
    metrics = cross_validate(config, tmp_path / "method1", folds=[0], count=1, echo=print, samples=phantom)
    assert metrics.chosen_level is None
    assert "it takes two groups of held-out patients" in (tmp_path / "method1" / "report.md").read_text()


def test_each_run_is_asked_once(crossed, phantom, tmp_path, monkeypatch):
    folder, _ = crossed
    shutil.copytree(folder, tmp_path / "direct")
    asked = []
    monkeypatch.setattr(
        crossval, "ask", lambda folder, *args, **kwargs: asked.append(folder.name) or ask(folder, *args, **kwargs)
    )
    run(tmp_path / "direct", phantom)
    assert asked == ["fold0-seed0", "fold2-seed0"]


@pytest.fixture(scope="module")
def sites(phantom, tmp_path_factory):
    """A table that puts the patients of the phantom into two sites."""
    path = tmp_path_factory.mktemp("sites") / "sites.csv"
    names = sorted(set(phantom.patient))
    rows = [f"{name},{'Uppsala' if number % 4 else 'Lund'}" for number, name in enumerate(names)]
    path.write_text("\n".join(["patient,group", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def by_site(phantom, sites, tmp_path_factory):
    folder = tmp_path_factory.mktemp("by_site") / "direct"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crossval, "train", leave_untrained)
        return folder, *run(folder, phantom, folds=None, groups=sites)


def test_each_site_is_held_out_as_a_whole_by_one_run(by_site, phantom):
    folder, metrics, _ = by_site
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["fold0-seed0", "fold1-seed0"]
    assert (metrics.folds, metrics.patients) == ([0, 1], 9)
    held_out = {str(row["patient"]) for row in read_results(folder).slices if row["fold"] == 0}
    assert held_out == set(sorted(set(phantom.patient))[::4])


def test_the_names_of_sites_are_printed_and_stand_in_no_file(by_site):
    folder, _, lines = by_site
    assert lines[:2] == ["group 0: Lund, 3 patients", "group 1: Uppsala, 6 patients"]
    for data in contents(folder).values():
        assert b"Lund" not in data
        assert b"Uppsala" not in data
        assert b"sites.csv" not in data


def test_a_run_of_a_site_finds_its_folds_again_wherever_the_folder_is(by_site, phantom, tmp_path, monkeypatch):
    folder, _, _ = by_site
    moved = Path(shutil.copytree(folder, tmp_path / "moved"))
    monkeypatch.setattr(run_folder, "load_samples", lambda *_args, **_given: phantom)
    config, facts, _ = run_folder.load_predictor(moved / "fold1-seed0")
    found = run_folder.load_run_samples(config, facts)
    assert len(set(found.patient[found.fold == 1])) == 6


def test_other_sites_in_the_same_folder_are_refused_and_nothing_is_changed(by_site, phantom, tmp_path):
    folder, _, _ = by_site
    table = tmp_path / "other.csv"
    table.write_text("patient,group\n" + "".join(f"{name},{name[-1]}\n" for name in sorted(set(phantom.patient))))
    before = contents(folder)
    with pytest.raises(UsageError, match="holds runs of other groups; choose another --out"):
        run(folder, phantom, folds=None, groups=table)
    assert contents(folder) == before


def test_a_cross_validation_of_folds_does_not_take_the_runs_of_sites_for_its_own(by_site, phantom):
    folder, _, _ = by_site
    with pytest.raises(UsageError, match="the data have changed"):
        run(folder, phantom, folds=[0])


def test_a_patient_without_a_site_is_met_before_anything_is_written(phantom, tmp_path):
    table = tmp_path / "sites.csv"
    table.write_text("patient,group\nphantom000,a\n")
    with pytest.raises(DataError, match="lacks patient phantom001 and 7 more"):
        run(tmp_path / "direct", phantom, folds=None, groups=table)
    assert not (tmp_path / "direct").exists()
