"""Random pairs and the smallest configurations that still use every part of the trainer."""

import contextlib
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests import random_samples
from tests.prepared_cohort import write_cohort
from tfdrift.config import TrainConfig, train_config
from tfdrift.training.train import train

RUNS = {"method1": {"ema": 0.9}, "method2": {}}


@pytest.fixture(scope="session")
def make_samples():
    """A function that returns `count` random pairs, two slices a patient, patients dealt to three folds."""

    return random_samples.make_samples


@pytest.fixture(scope="session")
def tiny_config():
    """A function that returns a configuration of a few hundred weights and a dozen steps."""

    def make(method: str, **settings) -> TrainConfig:
        small = {
            "image_size": 8, "base_filters": 2, "depth": 1, "batch_size": 4, "levels": 3,
            "steps": 12, "log_every": 2, "validate_every": 100, "checkpoint_every": 4,
        }  # fmt: skip
        return train_config(method, **{**small, **settings})

    return make


@pytest.fixture
def read_weights():
    """A function that returns every tensor of a run's newest checkpoint by its name in the file."""

    def read(folder: Path) -> dict[str, np.ndarray]:
        reader = tf.train.load_checkpoint(str(folder / "checkpoints"))
        # The object graph names Python objects, and the counter counts saves; neither is a weight.
        skipped = ("_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter/.ATTRIBUTES/VARIABLE_VALUE")
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name not in skipped}

    return read


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True, check=False
    )
    if not mounted or mounted.returncode != 0:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def fill():
    """A function that fills the disk of a folder up to `left` bytes and returns the file that does it."""

    def fill_disk(folder: Path, *, left: int = 0) -> Path:
        filler = folder / "filler"
        filler.write_bytes(bytes(max(shutil.disk_usage(folder).free - left, 0)))
        return filler

    return fill_disk


@pytest.fixture
def file_size_limit():
    """A context in which no file can grow beyond a number of bytes."""

    @contextlib.contextmanager
    def limited(limit_bytes: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


def no_echo(_line: str) -> None:
    pass


@pytest.fixture(scope="session")
def finished(make_samples, tiny_config, tmp_path_factory):
    """A function that returns the folder of a method's run that nothing interrupted."""
    folders = {}

    def run(method: str) -> Path:
        if method not in folders:
            folders[method] = tmp_path_factory.mktemp("finished") / method
            train(tiny_config(method, **RUNS[method]), folders[method], echo=no_echo, samples=make_samples())
        return folders[method]

    return run


@pytest.fixture(scope="session")
def first_cohort_run(make_samples, tiny_config, tmp_path_factory):
    """A folder with a cohort and a run trained on it, by relative paths as a user types them."""
    base = tmp_path_factory.mktemp("base")
    write_cohort(base / "cohorts/mine", make_samples())
    with contextlib.chdir(base):
        train(tiny_config("method1", data="cohorts/mine", steps=4), Path("runs/mine"), echo=no_echo)
    return base


@pytest.fixture
def cohort_run(first_cohort_run, tmp_path):
    """A copy of the run, with its cohort, in another place than where it was trained."""
    shutil.copytree(first_cohort_run, tmp_path, dirs_exist_ok=True)
    return tmp_path / "runs/mine"
