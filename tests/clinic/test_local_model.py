import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.clinic.patients import SIZE, noisy, write_formula
from tests.random_samples import make_samples
from tests.serving.tiny_models import save_half_plus
from tests.untrained_runs import leave_untrained
from tfdrift.clinic.local_model import LocalModel, folder_sha256, version_folder
from tfdrift.cohort.dose import DOSE_UNIT_GY
from tfdrift.config import train_config
from tfdrift.errors import DataError
from tfdrift.export.saved_model import export_run
from tfdrift.training.run_folder import load_predictor


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """Version 7 of a model called chancy, whose answers depend on the seed."""
    return write_formula(tmp_path_factory.mktemp("models") / "chancy", noisy)


def copy_of(version, folder):
    return shutil.copytree(version, folder / version.name)


def test_a_version_says_what_it_is(version):
    about = LocalModel(version).about
    assert (about.name, about.version, about.image_size, about.card) == ("chancy", 7, SIZE, None)
    assert about.facts["step"] == 3
    assert about.sha256 == folder_sha256(version)


def test_the_newest_version_by_number_is_taken(tmp_path):
    for name in ("9", "10", ".staging-11", "notes"):
        (tmp_path / name).mkdir()
    assert version_folder(tmp_path) == tmp_path / "10"


def test_a_folder_without_a_number_has_no_version(version, tmp_path):
    about = LocalModel(shutil.copytree(version, tmp_path / "mine")).about
    assert (about.name, about.version) == ("mine", None)


def test_the_card_is_read_where_there_is_one(version, tmp_path):
    copied = copy_of(version, tmp_path)
    (copied / "assets.extra").mkdir()
    (copied / "assets.extra/model_card.md").write_text("# Card")
    assert LocalModel(copied).about.card == "# Card"


def test_the_hash_is_over_paths_sizes_and_contents(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b/x").write_bytes(b"123")
    (tmp_path / "a").write_bytes(b"")
    expected = b"a\0" + bytes(8) + b"b/x\0" + b"\x03" + bytes(7) + b"123"
    assert folder_sha256(tmp_path) == hashlib.sha256(expected).hexdigest()


def test_the_hash_does_not_depend_on_the_place_or_on_hidden_files(version, tmp_path):
    copied = copy_of(version, tmp_path)
    (copied / ".DS_Store").write_text("a file manager was here")
    assert folder_sha256(copied) == folder_sha256(version)


FILES = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001", "assets/config.json")


@pytest.mark.parametrize("keep", [None, 0, 0.5], ids=["missing", "empty", "half"])
@pytest.mark.parametrize("file", FILES)
def test_a_half_copied_version_is_refused_in_one_line(version, tmp_path, file, keep):
    copied = copy_of(version, tmp_path)
    whole = (copied / file).read_bytes()
    (copied / file).unlink()
    if keep is not None:
        (copied / file).write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(DataError, match=r"the model version .* is half copied, damaged or no model") as caught:
        LocalModel(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds no saved_model\.pb and no version"):
        LocalModel(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="is no folder"):
        LocalModel(tmp_path / "nowhere")


def test_a_model_whose_config_tells_another_size_is_refused(version, tmp_path):
    copied = copy_of(version, tmp_path)
    document = json.loads((copied / "assets/config.json").read_text())
    document["train"]["image_size"] = 2 * SIZE
    (copied / "assets/config.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=f"takes images of {SIZE} pixels and its config.json says {2 * SIZE}"):
        LocalModel(copied)


def test_another_programs_model_is_refused(version, tmp_path):
    save_half_plus(tmp_path / "1")
    shutil.copytree(version / "assets", tmp_path / "1/assets", dirs_exist_ok=True)
    with pytest.raises(DataError, match=r"takes x float32 \[N\], not square crops and seeds"):
        LocalModel(tmp_path)


@pytest.fixture(scope="module")
def of_channels(tmp_path_factory):
    """A run that sees a FLAIR and the dose, exported; and what its samples' channels are divided by."""
    folder = tmp_path_factory.mktemp("channels")
    samples = make_samples(count=6, channels=("T1", "FLAIR", "dose"))
    largest = samples.pre.max(axis=(1, 2), keepdims=True)
    largest[..., 2] = 1
    samples = dataclasses.replace(samples, pre=samples.pre / largest)
    config = train_config("method1", image_size=8, base_filters=2, depth=1, levels=5, steps=1)
    leave_untrained(config, folder / "run", echo=lambda _line: None, samples=samples)
    return folder / "run", export_run(folder / "run", folder / "models"), samples


@pytest.mark.parametrize("unknown", [(), (1,), (1, 2)], ids=["all known", "no FLAIR", "T1 alone"])
def test_a_model_of_several_channels_answers_in_their_units_what_its_run_does(of_channels, unknown):
    run, version, samples = of_channels
    known = np.array([channel not in unknown for channel in range(3)], np.float32)
    units = np.array([700, 90, DOSE_UNIT_GY], np.float32)
    seed = np.stack([np.arange(6), np.arange(6)], axis=1)
    model = LocalModel(version)
    answer = model.predict(units * known * samples.pre, seed)
    expected = load_predictor(run)[2](tf.constant(known * samples.pre), tf.constant(seed))
    for name in ("post", "drift"):
        want = 700 * expected[name].numpy()
        np.testing.assert_allclose(answer[name], want, rtol=0, atol=1e-5 * np.abs(want).max())
    assert model.about.channels == ("T1", "FLAIR", "dose")
    assert "the dose by 20 Gy" in model.about.facts["scaling"]


def test_a_channel_is_not_another(of_channels):
    """Known or not, and dose or signal, matters to the answer."""
    _, version, samples = of_channels
    model, seed = LocalModel(version), np.zeros([6, 2], np.int64)
    answers = [
        model.predict(samples.pre * np.array(units, np.float32), seed)["post"]
        for units in ((1, 1, 20), (1, 50, 20), (1, 1, 40), (1, 0, 20))
    ]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)
    assert np.abs(answers[0] - answers[2]).max() > 1e-4
    assert np.abs(answers[0] - answers[3]).max() > 1e-4
