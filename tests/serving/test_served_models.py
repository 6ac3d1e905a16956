import shutil

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tests.serving.tiny_models import save_half_plus
from tfdrift.errors import DataError
from tfdrift.serving.configuration import config_of, models_under
from tfdrift.serving.refusal import Refusal
from tfdrift.serving.served_models import LabelRule, ServedModels


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_half_plus(tmp_path_factory.mktemp("saved") / "1")


@pytest.fixture
def root(saved, tmp_path):
    """Return a folder with the models a, of versions 1 and 2, and b, of version 1."""
    for folder in ("a/1", "a/2", "b/1"):
        shutil.copytree(saved, tmp_path / "models" / folder)
    return tmp_path / "models"


def parsed(text: str) -> ModelServerConfig:
    return text_format.Parse(f"model_config_list {{ {text} }}", ModelServerConfig())


def a_with(root, rest="") -> ModelServerConfig:
    return parsed(f'config {{ name: "a" base_path: "{root}/a" {rest} }}')


def serving(models) -> dict[str, int]:
    return {name: model.serving().version for name, model in models.items()}


def test_a_configuration_says_which_models_there_are(root):
    lines = []
    models = ServedModels(lines.append)
    models.configure(config_of({"a": root / "a", "b": root / "b"}))
    assert serving(models) == {"a": 2, "b": 1}
    models.configure(config_of({"b": root / "b"}))
    assert serving(models) == {"b": 1}
    assert "a: is no longer served" in lines


def test_a_model_that_stays_is_not_loaded_again(root):
    models = ServedModels(lambda _line: None)
    models.configure(config_of({"a": root / "a"}))
    before = models["a"].serving().model
    models.configure(config_of({"a": root / "a", "b": root / "b"}))
    assert models["a"].serving().model is before


def test_a_model_of_the_same_name_and_another_path_is_another(root):
    models = ServedModels(lambda _line: None)
    models.configure(config_of({"m": root / "a"}))
    models.configure(config_of({"m": root / "b"}))
    assert serving(models) == {"m": 1}


def test_a_configuration_that_cannot_be_served_changes_nothing(root):
    models = ServedModels(lambda _line: None)
    models.configure(config_of({"a": root / "a"}))
    with pytest.raises(DataError, match="there is no folder"):
        models.configure(config_of({"b": root / "missing"}))
    assert serving(models) == {"a": 2}


def test_a_label_stands_for_its_version(root):
    models = ServedModels(lambda _line: None)
    policy = "model_version_policy { all {} }"
    models.configure(a_with(root, f'{policy} version_labels {{ key: "stable" value: 1 }}'))
    assert models["a"].labelled("stable") == 1
    models.configure(a_with(root, f'{policy} version_labels {{ key: "stable" value: 2 }}'))
    assert models["a"].labelled("stable") == 2
    models.configure(a_with(root, policy))
    with pytest.raises(Refusal, match="Unrecognized servable version label: stable"):
        models["a"].labelled("stable")


def test_a_label_of_a_version_that_does_not_answer_is_refused_and_the_labels_stay(root):
    models = ServedModels(lambda _line: None)
    models.configure(a_with(root, 'version_labels { key: "stable" value: 2 }'))
    with pytest.raises(Refusal) as refused:
        models.configure(a_with(root, 'version_labels { key: "stable" value: 1 }'))
    assert refused.value.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.message == (
        "Request to assign label to version 1 of model a, which is not currently available for inference"
    )
    assert models["a"].labelled("stable") == 2


@pytest.mark.parametrize(("rule", "moved"), [(LabelRule.NEW, False), (LabelRule.ANY, True)])
def test_labels_may_wait_for_their_version_as_the_flags_of_tf_serving_say(root, rule, moved):
    models = ServedModels(lambda _line: None, labels=rule)
    models.configure(a_with(root, 'version_labels { key: "next" value: 7 }'))
    assert models["a"].labelled("next") == 7
    if moved:
        models.configure(a_with(root, 'version_labels { key: "next" value: 8 }'))
        assert models["a"].labelled("next") == 8
    else:
        with pytest.raises(Refusal, match="version 8 of model a"):
            models.configure(a_with(root, 'version_labels { key: "next" value: 8 }'))


def test_a_clients_configuration_is_refused_in_tf_servings_words(root):
    models = ServedModels(lambda _line: None)
    twice = f'config {{ name: "a" base_path: "{root}/a" }}'
    for config, message in (
        (ModelServerConfig(), "Only ModelConfigList is currently supported"),
        (parsed(twice + twice), "Illegal to list model a multiple times in config list"),
        (parsed('config { name: "a" }'), "to have an absolute path or URI"),
    ):
        with pytest.raises(Refusal, match=message) as refused:
            models.reload(config)
        assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_clients_model_that_cannot_be_loaded_is_named(root, tmp_path):
    (tmp_path / "broken/1").mkdir(parents=True)
    models = ServedModels(lambda _line: None)
    with pytest.raises(Refusal, match=r"Some models did not become available: \{broken\}"):
        models.reload(config_of({"a": root / "a", "broken": tmp_path / "broken"}))
    assert models["a"].serving().version == 2


def test_a_new_folder_under_the_root_is_a_new_model_and_one_that_goes_is_none(root, saved):
    models = ServedModels(lambda _line: None, source=lambda: models_under(root))
    models.configure(models_under(root))
    shutil.copytree(saved, root / "c/4")
    models.refresh()
    assert serving(models) == {"a": 2, "b": 1, "c": 4}
    shutil.rmtree(root / "a")
    models.refresh()
    assert serving(models) == {"b": 1, "c": 4}


def test_what_is_wrong_with_the_source_is_told_once_and_changes_nothing(root):
    lines, configs = [], [config_of({"a": root / "a"})]
    models = ServedModels(lines.append, source=lambda: configs[-1])
    models.refresh()
    configs.append(config_of({"a": root / "missing"}))
    lines.clear()
    models.refresh()
    models.refresh()
    assert lines == [f"the models stay as they were: model 'a': there is no folder {root}/missing"]
    assert serving(models) == {"a": 2}
