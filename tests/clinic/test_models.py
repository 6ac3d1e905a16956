import hashlib
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.clinic.patients import SIZE, noisy, write_formula
from tests.serving.tiny_models import save_half_plus
from tfdrift.clinic.models import (
    BATCH,
    LocalModel,
    ServedModel,
    folder_sha256,
    image_size_of,
    predict_batches,
    version_folder,
)
from tfdrift.errors import DataError, ResourceError
from tfdrift.serving.client import Signature, TensorInfo
from tfdrift.serving.server import embedded_server


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """Version 7 of a model called chancy, whose answers depend on the seed."""
    return write_formula(tmp_path_factory.mktemp("models") / "chancy", noisy)


@pytest.fixture(scope="module")
def target(version):
    with embedded_server({"chancy": version.parent}) as server:
        yield f"127.0.0.1:{server.grpc_port}"


def crops(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(count)
    return rng.random((count, SIZE, SIZE, 1), np.float32), rng.integers(0, 2**32, (count, 2))


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


@pytest.mark.parametrize("shape", [(None, 8, 9, 1), (None, None, None, 1), (None, 8, 8, 3), (8, 8), None], ids=str)
def test_crops_of_another_shape_are_refused(shape):
    seed = TensorInfo("int64", (None, 2))
    outputs = {name: TensorInfo("float32", (None, 8, 8, 1)) for name in ("post", "drift")}
    with pytest.raises(DataError, match="not square crops and seeds"):
        image_size_of(Signature({"image": TensorInfo("float32", shape), "seed": seed}, outputs), "the model")


def test_batches_give_what_single_crops_give(version):
    model = LocalModel(version)
    image, seed = crops(BATCH + 3)
    together = predict_batches(model, image, seed)
    for i in (0, BATCH - 1, BATCH, BATCH + 2):
        alone = predict_batches(model, image[i : i + 1], seed[i : i + 1])
        for name in ("post", "drift"):
            np.testing.assert_allclose(together[name][i], alone[name][0], rtol=1e-6, atol=1e-6)


def test_an_answer_that_is_not_finite_is_refused(tmp_path):
    def broken(image, _seed):
        return {"post": image / 0.0, "drift": tf.identity(image)}

    model = LocalModel(write_formula(tmp_path / "broken", broken))
    with pytest.raises(DataError, match="the model's post is not an image of finite numbers"):
        predict_batches(model, *crops(2))


def test_a_server_gives_the_answer_of_the_version_on_disk(version, target):
    served = ServedModel(target, "chancy")
    assert served.about._replace(sha256=None, facts={}) == LocalModel(version).about._replace(sha256=None, facts={})
    request = crops(5)
    ours = LocalModel(version).predict(*request)
    for name, value in served.predict(*request).items():
        np.testing.assert_allclose(value, ours[name], rtol=1e-6)
    served.close()


def test_a_server_without_the_model_is_refused(target):
    with pytest.raises(ResourceError, match="does not serve what was asked of model 'other'"):
        ServedModel(target, "other")


def test_an_absent_server_is_refused():
    with pytest.raises(ResourceError, match="no answer from a server"):
        ServedModel("127.0.0.1:1", "chancy")


def test_another_programs_model_on_a_server_is_refused(tmp_path):
    save_half_plus(tmp_path / "half/1")
    with (
        embedded_server({"half": tmp_path / "half"}) as server,
        pytest.raises(DataError, match=r"model 'half' on 127\.0\.0\.1:.* not square crops and seeds"),
    ):
        ServedModel(f"127.0.0.1:{server.grpc_port}", "half")


def test_a_model_of_which_no_version_is_ready_is_refused(tmp_path):
    (tmp_path / "broken/1").mkdir(parents=True)
    with (
        embedded_server({"broken": tmp_path / "broken"}) as server,
        pytest.raises(ResourceError, match="has no version of model 'broken' that is ready"),
    ):
        ServedModel(f"127.0.0.1:{server.grpc_port}", "broken")
