"""Checkpoints: what is read is what was written, and no accident costs the last good one."""

import re
import shutil
import subprocess

import keras
import numpy as np
import pytest

from tfdrift.errors import DataError, ResourceError
from tfdrift.model.unet import build_unet
from tfdrift.training.checkpoint import Checkpoints, newest_step, writing
from tfdrift.training.step import make_optimizer


class Trained:
    """A small network, its average and its optimiser, all variables filled with random numbers of one seed."""

    def __init__(self, seed: int, base_filters: int = 2) -> None:
        self.network = build_unet(8, base_filters=base_filters, depth=1)
        self.averaged = build_unet(8, base_filters=base_filters, depth=1)
        self.optimizer = make_optimizer(learning_rate=0.5, weight_decay=0.1)
        self.optimizer.build(self.network.trainable_variables)
        self.fill(seed)

    def fill(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        for variable in self.variables():
            variable.assign(rng.integers(0, 1000, variable.shape).astype(variable.dtype))

    def variables(self) -> list:
        return [*self.network.variables, *self.averaged.variables, *self.optimizer.variables]

    def values(self) -> list[np.ndarray]:
        return [np.array(keras.ops.convert_to_numpy(variable)) for variable in self.variables()]

    def checkpoints(self, folder) -> Checkpoints:
        return Checkpoints(folder, network=self.network, averaged=self.averaged, optimizer=self.optimizer)


def saved(folder, *steps: int) -> Trained:
    """Save a checkpoint at each step, its numbers drawn from the step as seed."""
    trained = Trained(0)
    checkpoints = trained.checkpoints(folder)
    for step in steps:
        trained.fill(step)
        checkpoints.save(step)
    return trained


def assert_restores(folder, step: int) -> None:
    other = Trained(99)
    assert other.checkpoints(folder).restore() == step
    for read, written in zip(other.values(), Trained(step).values(), strict=True):
        np.testing.assert_array_equal(read, written)


def test_weights_average_optimiser_and_step_come_back(tmp_path):
    saved(tmp_path, 4)
    assert_restores(tmp_path, 4)


def test_the_newest_two_are_kept(tmp_path):
    saved(tmp_path, 4, 8, 12)
    assert {path.name.split(".")[0] for path in tmp_path.glob("step-*")} == {"step-8", "step-12"}
    assert_restores(tmp_path, 12)


def test_without_a_checkpoint_the_step_is_0_and_no_folder_is_made(tmp_path):
    checkpoints = Trained(0).checkpoints(tmp_path / "run")
    checkpoints.sweep()
    assert checkpoints.restore() == 0
    assert not (tmp_path / "run").exists()


def test_the_newest_step_is_that_of_the_newest_checkpoint_that_is_there(tmp_path):
    assert newest_step(tmp_path) == 0
    saved(tmp_path, 9, 10)
    assert newest_step(tmp_path) == 10
    (tmp_path / "step-10.index").unlink()
    assert newest_step(tmp_path) == 9


def test_a_moved_folder_still_restores(tmp_path):
    saved(tmp_path / "before", 4, 8)
    shutil.move(tmp_path / "before", tmp_path / "after")
    assert_restores(tmp_path / "after", 8)


def test_what_an_interrupted_save_left_is_swept_and_nothing_else(tmp_path):
    saved(tmp_path, 4, 8)
    good = {path.name for path in tmp_path.iterdir()}
    (tmp_path / "step-12_temp").mkdir()
    for name in (
        "step-12_temp/part-00000-of-00001",
        "step-12.index",
        "step-12.data-00000-of-00001",
        "checkpoint.tmp1f",
    ):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    Trained(0).checkpoints(tmp_path).sweep()
    assert {path.name for path in tmp_path.iterdir()} == {*good, "notes.txt"}
    assert_restores(tmp_path, 8)


def test_a_clock_set_back_costs_no_checkpoint(tmp_path):
    saved(tmp_path, 4, 8)
    names = tmp_path / "checkpoint"
    names.write_text(re.sub(r"(timestamps?): \d+", r"\1: 4000000000", names.read_text()))
    Trained(0).checkpoints(tmp_path).sweep()
    assert_restores(tmp_path, 8)


def cut_short(file):
    file.write_bytes(file.read_bytes()[:-1000])


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [cut_short, flip_a_bit, lambda file: file.unlink()])
@pytest.mark.parametrize("suffix", ["data-00000-of-00001", "index"])
def test_a_damaged_checkpoint_is_refused_and_the_advice_leads_to_the_one_before(tmp_path, damage, suffix):
    saved(tmp_path, 4, 8)
    damage(tmp_path / f"step-8.{suffix}")
    if (tmp_path / "step-8.index").exists():
        with pytest.raises(DataError, match=r"step-8 cannot be read .*; remove step-8.index to go on from the check"):
            Trained(0).checkpoints(tmp_path).restore()
        (tmp_path / "step-8.index").unlink()
    Trained(0).checkpoints(tmp_path).sweep()
    assert_restores(tmp_path, 4)


def test_the_checkpoint_of_another_network_is_refused(tmp_path):
    saved(tmp_path, 4)
    with pytest.raises(DataError, match="step-4 cannot be read"):
        Trained(0, base_filters=3).checkpoints(tmp_path).restore()


@pytest.mark.parametrize("content", ["", "\0\0\0\0"])
def test_a_damaged_list_of_checkpoints_is_refused_before_anything_is_removed(tmp_path, content):
    saved(tmp_path, 4, 8)
    (tmp_path / "checkpoint").write_text(content)
    with pytest.raises(DataError, match="checkpoint is damaged; write 'model_checkpoint_path"):
        Trained(0).checkpoints(tmp_path).sweep()
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "step-8"\n')
    assert_restores(tmp_path, 8)


def test_a_folder_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"cannot write to .*file/checkpoints"):
        saved(tmp_path / "file" / "checkpoints", 4)


def test_a_file_that_may_not_grow_leaves_the_last_checkpoint_intact(tmp_path, file_size_limit):
    trained = saved(tmp_path, 4)
    with (
        file_size_limit(1000),
        pytest.raises(ResourceError, match=r"cannot write to .* go on from the last checkpoint"),
    ):
        trained.checkpoints(tmp_path).save(8)
    Trained(0).checkpoints(tmp_path).sweep()
    assert_restores(tmp_path, 4)


@pytest.mark.parametrize("left", [0, 8192])
def test_a_full_disk_leaves_the_last_checkpoint_intact(small_disk, fill, left):
    trained = saved(small_disk, 4)
    filler = fill(small_disk, left=left)
    with pytest.raises(ResourceError, match=r"cannot write to .* go on from the last checkpoint"):
        trained.checkpoints(small_disk).save(8)
    filler.unlink()
    Trained(0).checkpoints(small_disk).sweep()
    assert_restores(small_disk, 4)


def test_a_read_only_disk_is_refused_and_still_restores(small_disk):
    trained = saved(small_disk, 4)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(ResourceError, match=r"cannot write to .*Read-only file system"):
        trained.checkpoints(small_disk).save(8)
    assert_restores(small_disk, 4)


def test_an_error_of_the_program_is_not_taken_for_one_of_the_disk(tmp_path):
    with pytest.raises(ZeroDivisionError), writing(tmp_path):
        raise ZeroDivisionError
