"""An ensemble of runs as one model: whose answers it gives, what it says of itself, and what is no ensemble."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from tests.clinic.patients import write_patient
from tests.conftest import SIZE, make_request
from tests.export.test_saved_model import hashed
from tests.random_samples import make_samples
from tests.untrained_runs import leave_untrained
from tfdrift.clinic.local_model import LocalModel
from tfdrift.clinic.predict import predict_patient
from tfdrift.config import read_config, train_config, write_config
from tfdrift.errors import DataError, UsageError
from tfdrift.evaluation.answers import load_shared_samples
from tfdrift.evaluation.calibration import Calibration
from tfdrift.export import push
from tfdrift.export.members import load_members
from tfdrift.export.push import Pushed, push_runs
from tfdrift.export.signatures import ServingModule, outcome_seeds
from tfdrift.training.run_folder import load_predictor

SEEDS = (0, 1, 2)
OUTCOMES = 4  # rounded up to 6, two of each of three members
ROUNDING = 1e-5


class Joined(NamedTuple):
    """Runs, the version that holds them all, and its SavedModel."""

    runs: list[Path]
    pushed: Pushed
    model: Any


def train_run(method: str, folder: Path, seed: int, **given: Any) -> Path:
    settings = {"image_size": SIZE, "base_filters": 2, "depth": 1, "levels": 5, "batch_size": 4, "steps": 2, **given}
    config = train_config(method, seed=seed, **settings)
    folder.mkdir()
    leave_untrained(config, folder, echo=lambda _line: None, samples=make_samples(size=SIZE))
    return folder


@pytest.fixture(scope="module", params=["method1", "direct"])
def joined(request, tmp_path_factory) -> Joined:
    folder = tmp_path_factory.mktemp(request.param)
    runs = [train_run(request.param, folder / f"seed{seed}", seed) for seed in SEEDS]
    (folder / "calibrated").mkdir()
    (folder / "calibrated/metrics.json").write_text(json.dumps({"calibration": calibration_of(runs[0])}))
    with pytest.MonkeyPatch.context() as patched:
        # The samples that the runs were trained on are not those that their configuration names.
        patched.setattr(push, "load_shared_samples", lambda found: load_shared_samples(found, make_samples(size=SIZE)))
        pushed = push_runs(
            runs, folder / "models/joined", outcomes=OUTCOMES, force=True, calibration=folder / "calibrated"
        )
    return Joined(runs, pushed, tf.saved_model.load(str(pushed.version)))


def calibration_of(run: Path, **changed: Any) -> dict[str, Any]:
    """Return what an evaluation of the ensemble would have found, made up but for whose it is."""
    config, facts = read_config(run / "config.json")
    settings = {
        name: value
        for name, value in dataclasses.asdict(config.without_paths()).items()
        if name not in ("fold", "seed", "steps")
    }
    found = Calibration(
        coverage=0.9, volume_margin=0.25, drift_margin=0.125, patients=39, outcomes=6, runs=3, step=2,
        fingerprint=facts["data"]["fingerprint"], settings=settings,
    )  # fmt: skip
    return {**dataclasses.asdict(found), **changed}


def config_of(joined: Joined) -> dict[str, Any]:
    return json.loads((joined.pushed.version / "assets/config.json").read_text())


def ask(joined: Joined, signature: str, request: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    inputs = {name: tf.constant(value) for name, value in request.items()}
    return {name: value.numpy() for name, value in joined.model.signatures[signature](**inputs).items()}


def members_answer(joined: Joined, request: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """What each run answers by itself, normalised in NumPy."""
    scale = request["image"].max(axis=(1, 2, 3), keepdims=True)
    image = tf.constant(request["image"] / scale)
    predictors = [load_predictor(run)[2] for run in joined.runs]
    return [
        {name: scale * value.numpy() for name, value in predictor(image, tf.constant(request["seed"])).items()}
        for predictor in predictors
    ]


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ROUNDING * np.abs(expected).max())


def test_its_answer_is_the_mean_of_the_members_answers(joined):
    request = make_request(5)
    each = members_answer(joined, request)
    answer = ask(joined, "serving_default", request)
    for name in ("post", "drift"):
        assert_close(answer[name], np.mean([one[name] for one in each], axis=0))
        assert np.std([one[name] for one in each], axis=0).max() > 0.01 * np.abs(answer[name]).max()


def test_each_member_answers_alone_in_a_signature_of_its_own(joined):
    request = make_request(5)
    for member, expected in enumerate(members_answer(joined, request)):
        answer = ask(joined, f"member_{member}", request)
        for name in ("post", "drift"):
            assert_close(answer[name], expected[name])


def test_its_outcomes_are_drawn_from_the_members_in_turn(joined):
    request, outcomes = make_request(5), config_of(joined)["samples"]
    drawn = []
    for k in range(outcomes):
        seed = outcome_seeds(tf.constant(request["seed"]), k).numpy()
        drawn.append(members_answer(joined, {**request, "seed": seed})[k % len(SEEDS)]["drift"])
    answer = ask(joined, "ensemble", request)
    assert_close(answer["drift_mean"], np.mean(drawn, axis=0))
    np.testing.assert_allclose(answer["drift_std"], np.std(drawn, axis=0), atol=ROUNDING * np.abs(drawn).max())
    np.testing.assert_allclose(
        answer["drift_q95"], np.quantile(drawn, 0.95, axis=0), atol=ROUNDING * np.abs(drawn).max()
    )


def test_the_members_share_the_outcomes_evenly(joined):
    document = config_of(joined)
    assert document["samples"] == (3 if document["train"]["method"] == "direct" else 6)


def test_it_tells_its_members_and_the_scores_of_their_mean(joined):
    document = config_of(joined)
    assert [member["seed"] for member in document["members"]] == list(SEEDS)
    for run, told in zip(joined.runs, document["members"], strict=True):
        weights = hashlib.sha256(b"".join(map(hashed, load_predictor(run)[2].network.variables)))
        assert told["weights_sha256"] == weights.hexdigest()
        assert told["step"] == 2
    assert document["weights_sha256"] not in [member["weights_sha256"] for member in document["members"]]
    assert document["calibration"]["runs"] == 3
    held_out = make_samples(size=SIZE)
    held_out = held_out.take(np.flatnonzero(held_out.fold == 0))
    # One outcome of each member, as the evaluation draws them for `direct`, which draws nothing.
    if document["train"]["method"] == "direct":
        pre, seed = tf.constant(held_out.pre), tf.zeros([len(held_out), 2], tf.int64)
        mean = np.mean([load_predictor(run)[2](pre, seed)["post"] for run in joined.runs], axis=0)
        error, no_change = np.mean((mean - held_out.post) ** 2), np.mean((held_out.pre - held_out.post) ** 2)
        assert document["metrics"]["skill"]["value"] == pytest.approx(1 - error / no_change, rel=1e-4)


def test_its_card_names_them(joined):
    card = (joined.pushed.version / "assets.extra/model_card.md").read_text()
    assert "It holds 3 runs that differ in their seed" in card
    for number, member in enumerate(config_of(joined)["members"], start=1):
        assert f"| {number} | {member['seed']} | 2 | `{member['weights_sha256']}` |" in card
    assert "spread of zero" not in card


def test_every_weight_of_every_member_is_stored_once(joined):
    shapes = [tuple(weight.shape) for run in joined.runs for weight in load_predictor(run)[2].network.variables]
    stored = tf.train.list_variables(str(joined.pushed.version / "variables/variables"))
    assert sorted(tuple(shape) for _, shape in stored) == sorted([*shapes, ()])  # () is the object graph


def test_predict_draws_each_outcome_from_its_member(joined, tmp_path):
    patient = write_patient(tmp_path)
    model = LocalModel(joined.pushed.version)
    asked: list[tuple[int, list]] = []
    answer = model.predict

    def noting(image, seed, member=0):
        asked.append((member, seed.tolist()))
        return answer(image, seed, member)

    model.predict = noting
    document = predict_patient(
        model, series_dir=patient.series, rtstruct=patient.rtstruct, out=tmp_path / "out", outcomes=4
    )
    assert [member for member, _ in asked] == [0, 1, 2]
    slices = len(document["lesions"][0]["slices"])
    assert [len(seeds) for _, seeds in asked] == [2 * slices, slices, slices]
    assert document["model"]["members"] == 3
    assert len(document["lesions"][0]["volume_predicted_mm3"]["samples"]) == 4
    assert document["calibration"]["patients"] == 39


def test_fewer_outcomes_than_members_are_refused(joined, tmp_path):
    patient = write_patient(tmp_path)
    with pytest.raises(UsageError, match="--outcomes 2: the model holds 3 runs, and each draws its share; use 3"):
        predict_patient(
            LocalModel(joined.pushed.version), series_dir=patient.series, rtstruct=patient.rtstruct,
            out=tmp_path / "out", outcomes=2,
        )  # fmt: skip


def test_a_model_that_lacks_a_member_it_names_is_refused(joined, tmp_path):
    broken = Path(shutil.copytree(joined.pushed.version, tmp_path / "1"))
    document = config_of(joined)
    document["members"].append(document["members"][0])
    (broken / "assets/config.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"does not answer for what its config.json names; export it again"):
        LocalModel(broken)


def test_a_calibration_of_another_number_of_runs_is_refused(joined, tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps({"calibration": calibration_of(joined.runs[0], runs=1)}))
    with pytest.raises(DataError, match="runs: 1, not 3"):
        push_runs(joined.runs, tmp_path / "models", calibration=tmp_path)
    assert not (tmp_path / "models").exists()


def test_the_graph_grows_with_the_members_and_not_with_the_outcomes(joined):
    predictors = [load_predictor(run)[2] for run in joined.runs]
    sizes = [
        len(ServingModule(predictors, SIZE, outcomes).signatures()["ensemble"].graph.as_graph_def().node)
        for outcomes in (3, 30)
    ]
    assert sizes[0] == sizes[1]


def test_the_same_run_twice_is_refused(joined):
    with pytest.raises(UsageError, match="has the settings and the seed of another member; give runs of other --seed"):
        load_members([joined.runs[0], joined.runs[1], joined.runs[0]])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"method": "method2", "recon_ssim": 0.0}, "method: method2, not"),
        ({"image_size": 16}, "image_size: 16, not 8"),
        ({"condition": "interval_days"}, "condition: interval_days, not "),
        ({"fold": 1}, "fold: 1, not 0"),
    ],
)
def test_a_run_of_other_settings_is_refused(joined, monkeypatch, changed, said):
    first, second, _ = load_members(joined.runs)
    other = second._replace(config=dataclasses.replace(second.config, **changed))
    found = iter([first, other])
    monkeypatch.setattr("tfdrift.export.members.load_predictor", lambda _folder: next(found))
    with pytest.raises(UsageError, match=rf"seed1 has other settings than .*seed0 \(.*{said}.*differ in their --seed"):
        load_members(joined.runs[:2])


def test_a_run_on_other_data_is_refused(joined, tmp_path):
    other = Path(shutil.copytree(joined.runs[1], tmp_path / "other"))
    config, facts = read_config(other / "config.json")
    told = {**facts["data"], "fingerprint": "another"}
    write_config(other / "config.json", config, **{**facts, "data": told})
    with pytest.raises(DataError, match="other was trained on other data than"):
        load_members([joined.runs[0], other])
