from tests.command_line import exit_code
from tests.random_samples import make_samples
from tfdrift.config import train_config
from tfdrift.training.run import train


def test_a_run_becomes_a_version(tmp_path, capsys):
    config = train_config("direct", steps=1, image_size=8, base_filters=2, depth=1, batch_size=4)
    train(config, tmp_path / "run", echo=lambda _: None, samples=make_samples())
    assert exit_code(["export", str(tmp_path / "run"), "--to", str(tmp_path / "models")]) == 0
    (version,) = [folder for folder in (tmp_path / "models").iterdir() if folder.name.isdigit()]
    assert f"SavedModel       {version}" in capsys.readouterr().out
    assert (version / "saved_model.pb").is_file()


def test_a_folder_that_is_no_run_ends_with_3_and_nothing_is_written(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    assert exit_code(["export", str(tmp_path / "run"), "--to", str(tmp_path / "models")]) == 3
    assert capsys.readouterr().err.startswith("Error: ")
    assert not (tmp_path / "models").exists()
