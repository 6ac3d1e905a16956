"""A run becomes a version that loads without this package, as a whole or not at all."""

import dataclasses
import hashlib
import importlib.util
import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tests.conftest import METRICS
from tfdrift import __version__
from tfdrift.config import train_config, write_config
from tfdrift.diffusion.schedule import make_schedule
from tfdrift.errors import DataError, ResourceError
from tfdrift.export.members import load_members
from tfdrift.export.model_folder import versions
from tfdrift.export.saved_model import export_run, publish, read_metrics, write_model
from tfdrift.training.run_folder import load_predictor

C_LOADER = Path(__file__).with_name("c_loader.py")
SERVING_DOCS = Path(__file__).parents[2] / "docs/serving.md"
# One graph, other kernels at most (fusions that only the loaded graph gets); float32 rounding of the largest value.
ROUNDING = 1e-5
one_method = pytest.mark.parametrize("method", ["method2"], indirect=True, scope="session")


def in_process(exported) -> dict[str, np.ndarray]:
    """Answer the request with the run's own predictor, normalised in NumPy."""
    _, _, predictor = load_predictor(exported.run)
    image, seed = exported.request["image"], exported.request["seed"]
    scale = image.max(axis=(1, 2, 3), keepdims=True)
    return {name: scale * value.numpy() for name, value in predictor(tf.constant(image / scale), seed).items()}


def assert_same_answer(answer, exported):
    expected = in_process(exported)
    assert set(answer) == set(expected) == {"post", "drift"}
    for name, value in expected.items():
        np.testing.assert_allclose(answer[name], value, rtol=0, atol=ROUNDING * np.abs(value).max())


def test_documented_example_answers_in_a_process_without_tfdrift_and_keras(exported, tmp_path):
    np.savez(tmp_path / "request.npz", **exported.request)
    (tmp_path / "saved_models").mkdir()
    (tmp_path / "saved_models/my-run").symlink_to(exported.version.parent)
    example = re.findall(r"```python\n(.*?)```", SERVING_DOCS.read_text(encoding="utf-8"), re.DOTALL)[0]
    absent = 'import sys\nsys.modules["tfdrift"] = sys.modules["keras"] = None  # as if neither were installed\n'
    ask = 'np.savez("answer.npz", **predict(**np.load("request.npz")))\n'
    subprocess.run([sys.executable, "-c", absent + example + ask], cwd=tmp_path, check=True)
    with np.load(tmp_path / "answer.npz") as answer:
        assert_same_answer(dict(answer), exported)


def test_answers_through_the_c_loader(exported, tmp_path):
    assert_same_answer(ask_c_loader(exported, tmp_path), exported)


@one_method
def test_every_process_gives_the_same_bytes(exported, tmp_path):
    # Unlike this process, in which a run was trained, those do not ask TensorFlow for deterministic kernels.
    first, again = ask_c_loader(exported, tmp_path), ask_c_loader(exported, tmp_path)
    assert all(first[name].tobytes() == again[name].tobytes() for name in ("post", "drift"))


def ask_c_loader(exported, folder: Path) -> dict[str, np.ndarray]:
    """Answer the request in a process of its own that loads the model with TensorFlow's C library."""
    signature = read_meta_graph(exported.version).signature_def["serving_default"]
    names = {name: info.name for name, info in signature.outputs.items()}
    feeds: dict[str, Any] = {info.name: exported.request[name] for name, info in signature.inputs.items()}
    np.savez(folder / "feeds.npz", **feeds)
    spec = importlib.util.find_spec("tensorflow")
    assert spec is not None
    assert spec.origin is not None
    library = Path(spec.origin).with_name("libtensorflow_cc.so.2")
    command = [sys.executable, C_LOADER, library, exported.version, "feeds.npz", "fetches.npz", *names.values()]
    subprocess.run(command, cwd=folder, check=True)
    with np.load(folder / "fetches.npz") as fetched:
        return {name: fetched[tensor] for name, tensor in names.items()}


def test_every_weight_is_stored_once_and_nothing_else(exported):
    weights = load_predictor(exported.run)[2].network.variables
    stored = [tuple(shape) for name, shape in tf.train.list_variables(str(exported.version / "variables/variables"))]
    assert sorted(stored) == sorted([*(tuple(weight.shape) for weight in weights), ()])  # () is the object graph
    weight_bytes = sum(4 * int(np.prod(weight.shape)) for weight in weights)
    data_bytes = sum(file.stat().st_size for file in exported.version.glob("variables/variables.data*"))
    # The object graph names each weight in about 130 bytes: nothing beside a real network, a third of these tiny ones.
    assert data_bytes <= 1.05 * weight_bytes + 200 * len(weights)


def hashed(weight) -> bytes:
    """Return what the hash of the weights is made of: dtype, shape and values of each."""
    values = weight.numpy()
    return f"{weight.dtype} {list(values.shape)}\n".encode() + values.tobytes()


def test_the_model_itself_says_what_stands_beside_it(exported):
    signature = tf.saved_model.load(str(exported.version)).signatures["about"]
    told = {name: value.numpy().tolist() for name, value in signature(asked=tf.zeros(2, tf.int64)).items()}
    assert told == {
        "config": 2 * [(exported.version / "assets/config.json").read_bytes().removesuffix(b"\n")],
        "card": 2 * [(exported.version / "assets.extra/model_card.md").read_bytes()],
    }


def test_config_says_what_the_model_is_without_the_users_paths(exported, method):
    text = (exported.version / "assets/config.json").read_text()
    config, facts, predictor = load_predictor(exported.run)
    document = json.loads(text)
    weights = hashlib.sha256(b"".join(map(hashed, predictor.network.variables)))
    assert document.pop("train") == {**dataclasses.asdict(config), "mnist_file": None}
    schedule = make_schedule("linear", levels=5, noise_level=0.2)
    assert document == {
        "tfdrift": __version__,
        "trained_with": __version__,
        "data": facts["data"],
        "step": 2,
        "scaling": "each image is divided by its own largest signal, and the answer multiplied by it",
        "samples": 1 if method == "direct" else 16,
        "weights_sha256": weights.hexdigest(),
        "metrics": None,
        "calibration": None,
        "schedule": {"signal_rate": schedule.signal_rate.tolist(), "noise_rate": schedule.noise_rate.tolist()},
    }
    assert config.mnist_file is not None
    assert config.method == method


@one_method
def test_config_tells_the_scores_of_these_weights(exported, tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    metrics = read_metrics(tmp_path, step=2)
    write_model(tmp_path / "model", load_members([exported.run]), outcomes=3, metrics=metrics)
    document = json.loads((tmp_path / "model/assets/config.json").read_text())
    told = {name: value for name, value in METRICS.items() if name not in ("step", "levels", "data")}
    assert document["metrics"] == told
    assert document["samples"] == 3


def test_scores_of_other_weights_do_not_count(tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    assert read_metrics(tmp_path, step=3) is None


def test_a_run_that_was_not_scored_has_no_scores(tmp_path):
    assert read_metrics(tmp_path, step=2) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"step": 2}'])
def test_damaged_scores_are_refused(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(DataError, match=r"metrics.json is damaged .*; delete it to have the run scored again"):
        read_metrics(tmp_path, step=2)


@one_method
def test_no_file_of_the_model_holds_a_path_of_the_user(exported):
    for file in exported.version.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            for path in (exported.run, Path(__file__).parents[2], "/home/someone"):
                assert str(path).encode() not in content, file


@one_method
def test_a_cohort_folder_is_not_named_in_the_config(exported, tmp_path):
    (member,) = load_members([exported.run])
    there = member._replace(config=dataclasses.replace(member.config, data="/home/someone/cohort"))
    write_model(tmp_path / "model", [there])
    assert json.loads((tmp_path / "model/assets/config.json").read_text())["train"]["data"] == "cohort"


@one_method
def test_default_target_is_named_after_the_run(exported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = int(time.time())
    version = export_run(exported.run)
    assert version.parent == Path("saved_models/run")
    assert before <= int(version.name) <= time.time()


def fill(folder: Path) -> None:
    (folder / "file").write_text("content")


def test_a_version_is_newer_than_every_one_before(tmp_path):
    ahead = int(time.time()) + 1000
    (tmp_path / str(ahead)).mkdir()
    assert publish(tmp_path, fill).name == str(ahead + 1)
    assert publish(tmp_path, fill).name == str(ahead + 2)
    assert versions(tmp_path) == [ahead, ahead + 1, ahead + 2]


def test_what_a_killed_export_left_behind_is_swept(tmp_path):
    (tmp_path / ".staging/tmp5/whole/5/variables").mkdir(parents=True)
    version = publish(tmp_path, fill)
    assert [path.name for path in tmp_path.iterdir()] == [version.name]


def test_a_failed_export_leaves_no_version_and_no_staging_folder(tmp_path):
    def fail(folder):
        fill(folder)
        raise DataError("refused")

    with pytest.raises(DataError, match="refused"):
        publish(tmp_path, fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["missing", "file", "empty folder"])
def test_what_is_no_run_folder_is_refused(tmp_path, kind):
    run = tmp_path / "run"
    if kind == "file":
        run.write_text("")
    elif kind == "empty folder":
        run.mkdir()
    with pytest.raises(DataError, match="give a run folder that `tfdrift train` wrote"):
        export_run(run, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_run_without_a_checkpoint_is_refused(tmp_path):
    config = train_config("method1", image_size=8, base_filters=2, depth=1)
    write_config(tmp_path / "config.json", config, data={})
    with pytest.raises(DataError, match="holds no checkpoint yet; train it first"):
        export_run(tmp_path, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_an_unwritable_target_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ResourceError, match=r"cannot write to .*file/model: Not a directory; free space or choose another --to"
    ):
        publish(tmp_path / "file" / "model", fill)


@one_method
def test_a_disk_that_fills_up_is_refused_and_nothing_stays(exported, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))  # no file may grow past 2000 bytes
    try:
        with pytest.raises(ResourceError, match=r"cannot write to .*; free space or choose another") as refusal:
            export_run(exported.run, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(str(refusal.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_two_exports_at_once_into_one_folder_are_refused(tmp_path):
    def publish_again(_folder):
        with pytest.raises(ResourceError, match=r"another process is writing .*; wait for it or choose another folder"):
            publish(tmp_path, fill)

    publish(tmp_path, publish_again)
    assert len(versions(tmp_path)) == 1


def read_meta_graph(version: Path):
    return SavedModel.FromString((version / "saved_model.pb").read_bytes()).meta_graphs[0]
