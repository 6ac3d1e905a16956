import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tfdrift.errors import DataError
from tfdrift.serving.configuration import embedded_models, models_of_file, models_under, one_model


@pytest.fixture
def root(tmp_path):
    """Return a folder with the models a and b and what is none."""
    for folder in ("b/1", "a/00000123", "no_versions/assets"):
        (tmp_path / "models" / folder).mkdir(parents=True)
    (tmp_path / "models" / "README.md").touch()
    return tmp_path / "models"


def test_every_folder_with_a_version_under_the_root_is_a_model(root):
    assert embedded_models(models_under(root)) == {"a": root / "a", "b": root / "b"}


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("missing", "is no folder"),
        ("models/no_versions", "holds no model"),
        ("models/a", r"is the folder of one model; give the folder above it, or --model_base_path"),
    ],
)
def test_a_root_without_models_is_a_data_error(root, folder, message):
    with pytest.raises(DataError, match=message):
        models_under(root.parent / folder)


def test_a_single_model_has_the_name_given(root):
    assert embedded_models(one_model("mine", root / "a")) == {"mine": root / "a"}


@pytest.mark.parametrize("folder", ["missing", "models/no_versions"])
def test_a_base_path_without_versions_is_a_data_error(root, folder):
    with pytest.raises(DataError, match="holds no version of a model"):
        one_model("mine", root.parent / folder)


def written(tmp_path, text):
    file = tmp_path / "models.config"
    file.write_text(text)
    return file


def test_a_configuration_of_tf_serving_is_read(root):
    text = f"""
        model_config_list {{
          config {{ name: "x" base_path: "{root}/a" model_platform: "tensorflow" }}
          config {{ name: "y" base_path: "{root}/b" model_version_policy {{ latest {{ num_versions: 1 }} }} }}
        }}"""
    assert embedded_models(models_of_file(written(root, text))) == {"x": root / "a", "y": root / "b"}


@pytest.mark.parametrize("text", ["model_config_list { config {", "models: 1"])
def test_a_file_that_is_no_configuration_is_a_data_error(tmp_path, text):
    with pytest.raises(DataError, match="is no model configuration of TF Serving"):
        models_of_file(written(tmp_path, text))


def test_a_missing_configuration_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="is no model configuration of TF Serving"):
        models_of_file(tmp_path / "missing.config")


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ('config { name: "x" base_path: "/no/such/folder" }', "there is no folder /no/such/folder"),
        ('config { base_path: "/" }', "each model needs a name of its own"),
        (
            'config { name: "x" base_path: "/" } config { name: "x" base_path: "/" }',
            "Illegal to list model x multiple times in config list",
        ),
        ('config { name: "x" }', r"Expected model x to have an absolute path or URI; got base_path\(\)=$"),
        ('config { name: "x" base_path: "a/b" }', r"Expected model x .* got base_path\(\)=a/b$"),
    ],
)
def test_what_cannot_be_served_is_a_data_error_in_tf_servings_words(models, message):
    config = text_format.Parse(f"model_config_list {{ {models} }}", ModelServerConfig())
    with pytest.raises(DataError, match=message):
        embedded_models(config)
