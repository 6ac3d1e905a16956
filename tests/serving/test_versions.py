import shutil

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from tests.serving.tiny_models import floats, save_half_plus
from tfdrift.serving.refusal import Refusal
from tfdrift.serving.versions import AVAILABLE, END, START, VersionedModel, version_folders


class Watched(VersionedModel):
    """A model `m` in a folder, with the lines it reported."""

    def __init__(self, base_path) -> None:
        self.lines: list[str] = []
        super().__init__("m", base_path, self.lines.append)


def plus(model: VersionedModel) -> float:
    """Return what distinguishes the tiny models: the answer to 0."""
    loaded = model.serving().model
    return float(loaded.run(loaded.signatures["serving_default"], {"x": floats(0)})["y"][0])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two versions of a model, to copy from: version N adds N."""
    base = tmp_path_factory.mktemp("saved")
    return {version: save_half_plus(base / str(version), plus=float(version)) for version in (1, 2)}


@pytest.fixture
def base(saved, tmp_path):
    """Return a folder with version 1."""
    shutil.copytree(saved[1], tmp_path / "m" / "1")
    return tmp_path / "m"


@pytest.fixture
def model(base) -> Watched:
    """Return version 1, answering."""
    watched = Watched(base)
    watched.look(at_once=True)
    return watched


def test_the_newest_version_answers(base, saved):
    shutil.copytree(saved[2], base / "2")
    watched = Watched(base)
    watched.look(at_once=True)
    assert (watched.serving().version, plus(watched)) == (2, 2)
    assert watched.states == {2: (AVAILABLE, grpc.StatusCode.OK, "")}


def test_a_new_version_is_loaded_when_its_files_stay_the_same_and_takes_over(base, saved, model):
    shutil.copytree(saved[2], base / "2")
    model.look()
    assert (plus(model), model.states[2].state) == (1, START)
    model.look()
    assert plus(model) == 2
    assert {version: state.state for version, state in model.states.items()} == {1: END, 2: AVAILABLE}
    assert model.lines[-1] == "m: version 2 answers instead of 1"


def with_policy(base, text) -> Watched:
    watched = Watched(base)
    watched.policy = text_format.Parse(text, ModelConfig().model_version_policy)
    return watched


@pytest.fixture
def three(base, saved):
    """Return a folder with the versions 1, 2 and 3."""
    for version in (2, 3):
        shutil.copytree(saved[2], base / str(version))
    return base


@pytest.mark.parametrize(
    ("policy", "answering"),
    [
        ("", [3]),
        ("latest { num_versions: 2 }", [2, 3]),
        ("latest { num_versions: 9 }", [1, 2, 3]),
        ("all {}", [1, 2, 3]),
        ("specific { versions: 1 versions: 7 }", [1]),
    ],
)
def test_the_policy_says_which_versions_answer(three, policy, answering):
    watched = with_policy(three, policy)
    watched.look(at_once=True)
    assert [version for version in (1, 2, 3, 7) if watched.states.get(version, (END,))[0] == AVAILABLE] == answering
    for version in answering:
        assert watched.serving(version).version == version
    assert watched.serving().version == answering[-1]


def test_of_the_newest_two_the_older_goes_when_a_newer_answers(base, saved):
    watched = with_policy(base, "latest { num_versions: 2 }")
    for version in (2, 3):
        shutil.copytree(saved[2], base / str(version))
        watched.look(at_once=True)
    with pytest.raises(Refusal, match="Specific"):
        watched.serving(1)
    assert (watched.serving(2).version, watched.states[1].state) == (2, END)


def test_a_deleted_version_of_all_no_longer_answers(three):
    watched = with_policy(three, "all {}")
    watched.look(at_once=True)
    shutil.rmtree(three / "3")
    watched.look()
    assert watched.serving().version == 2
    with pytest.raises(Refusal):
        watched.serving(3)


def test_a_version_that_is_still_being_copied_waits(base, saved, model):
    shutil.copytree(saved[2], base / "2")
    for file in ("a", "b", "c"):
        model.look()
        assert plus(model) == 1
        (base / "2" / "assets" / file).touch()


def test_whoever_holds_the_old_version_gets_its_answers_after_the_swap(base, saved, model):
    old = model.serving().model
    shutil.copytree(saved[2], base / "2")
    model.look()
    model.look()
    assert old.run(old.signatures["serving_default"], {"x": floats(0)})["y"] == 1


def truncate_graph(folder):
    file = folder / "saved_model.pb"
    file.write_bytes(file.read_bytes()[:-100])


def truncate_variables(folder):
    (file,) = (folder / "variables").glob("*.data-*")
    file.write_bytes(file.read_bytes()[:-1])


BREAK = {
    "no graph": lambda folder: (folder / "saved_model.pb").unlink(),
    "no variables": lambda folder: shutil.rmtree(folder / "variables"),
    "half a graph": truncate_graph,
    "half the variables": truncate_variables,
    "a graph of noise": lambda folder: (folder / "saved_model.pb").write_bytes(b"\xff" * 1000),
}


@pytest.mark.parametrize("damage", BREAK)
def test_a_broken_new_version_leaves_the_old_one_answering_and_shows_in_the_status(base, saved, model, damage):
    shutil.copytree(saved[2], base / "2")
    BREAK[damage](base / "2")
    model.look()
    model.look()
    assert plus(model) == 1
    broken = model.states[2]
    assert broken.state == END
    assert broken.code != grpc.StatusCode.OK
    assert broken.message
    assert "\n" not in broken.message
    assert model.states[1].state == AVAILABLE


def test_a_version_that_was_half_copied_is_loaded_when_it_is_whole(base, saved, model):
    shutil.copytree(saved[2], base / "2")
    BREAK["no variables"](base / "2")
    model.look()
    model.look()
    shutil.copytree(saved[2] / "variables", base / "2" / "variables")
    model.look()
    model.look()
    assert plus(model) == 2


def test_a_broken_version_is_not_tried_again_while_its_files_stay_the_same(base, model):
    (base / "2").mkdir()
    for _ in range(5):
        model.look()
    assert len([line for line in model.lines if "version 2 cannot be loaded" in line]) == 1


def test_at_the_start_the_newest_that_can_be_loaded_answers(base):
    (base / "2").mkdir()
    watched = Watched(base)
    watched.look(at_once=True)
    assert plus(watched) == 1
    assert watched.states[2].state == END


def test_when_the_version_that_answers_is_deleted_the_newest_of_the_others_takes_over(base, saved, model):
    shutil.copytree(saved[2], base / "2")
    model.look()
    model.look()
    shutil.rmtree(base / "2")
    model.look()
    model.look()
    assert plus(model) == 1
    assert model.lines[-1] == "m: version 1 answers instead of 2"


def test_when_every_version_is_deleted_the_last_one_goes_on(base, model):
    shutil.rmtree(base)
    model.look()
    model.look()
    assert plus(model) == 1


def test_a_deleted_version_is_forgotten(base, saved, model):
    shutil.copytree(saved[2], base / "2")
    model.look()
    model.look()
    shutil.rmtree(base / "1")
    model.look()
    assert model.states.keys() == {2}


@pytest.mark.parametrize(("version", "wanted"), [(None, "Latest(m)"), (7, "Specific(m, 7)")])
def test_a_version_that_is_not_loaded_is_not_found(tmp_path, version, wanted):
    with pytest.raises(Refusal) as caught:
        Watched(tmp_path).serving(version)
    assert caught.value.code == grpc.StatusCode.NOT_FOUND
    assert caught.value.message == f"Servable not found for request: {wanted}"


def test_a_folder_that_cannot_be_read_is_told_once(tmp_path):
    watched = Watched(tmp_path / ("x" * 300))
    watched.look()
    watched.look()
    assert len(watched.lines) == 1
    assert watched.lines[0].startswith("m: cannot look into ")


def test_versions_are_folders_named_by_an_int64(tmp_path):
    for name in ("00000123", "7", ".staging-8", "nine", "-1", str(2**63)):
        (tmp_path / name).mkdir()
    (tmp_path / "10").touch()
    assert version_folders(tmp_path) == {123: tmp_path / "00000123", 7: tmp_path / "7"}
