"""TensorBoard's files read back with TensorBoard's own reader, and the history beside them."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.plugin_event_accumulator import TENSORS, EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util import tensor_util

from tfdrift.errors import DivergedError, ResourceError
from tfdrift.training.summaries import Summaries, draw_strips


def load(folder, part: str) -> EventAccumulator:
    events = EventAccumulator(
        str(folder / "tensorboard" / part), size_guidance={TENSORS: 0}, tensor_size_guidance={"scalars": 0}
    )
    return events.Reload()


def curve(folder, part: str, tag: str) -> list[tuple[int, float]]:
    return [
        (event.step, float(tensor_util.make_ndarray(event.tensor_proto))) for event in load(folder, part).Tensors(tag)
    ]


def history(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def strips() -> bytes:
    rng = np.random.default_rng(0)
    pre, post = rng.random((2, 8, 8, 1), np.float32)
    return draw_strips(pre, post, rng.random((2, 8, 8, 1)), rng.random((2, 8, 8, 1)) - 0.5, [20, 0])


def test_numbers_are_found_under_their_groups(tmp_path):
    with Summaries(tmp_path, start_step=0) as summaries:
        summaries.scalars("train", 2, {"loss": 0.5, "recon_mse": 0.25, "drift_ssim": 0.75, "gradient_norm": 2.0})
        summaries.scalars("validation", 4, {"skill": 0.125})
    assert curve(tmp_path, "train", "loss") == [(2, 0.5)]
    assert curve(tmp_path, "train", "recon/mse") == [(2, 0.25)]
    assert curve(tmp_path, "train", "drift/ssim") == [(2, 0.75)]
    assert curve(tmp_path, "train", "gradient_norm") == [(2, 2.0)]
    assert curve(tmp_path, "validation", "skill") == [(4, 0.125)]


def test_history_holds_the_same_numbers_a_line_each(tmp_path):
    with Summaries(tmp_path, start_step=0) as summaries:
        summaries.scalars("train", 2, {"loss": 0.5, "recon_mse": 0.25})
        summaries.scalars("validation", 2, {"skill": 0.125})
    assert history(tmp_path) == [
        {"step": 2, "part": "train", "loss": 0.5, "recon_mse": 0.25},
        {"step": 2, "part": "validation", "skill": 0.125},
    ]


def test_nothing_waits_in_memory_for_the_end(tmp_path):
    summaries = Summaries(tmp_path, start_step=0)
    summaries.scalars("train", 2, {"loss": 0.5})
    assert curve(tmp_path, "train", "loss") == [(2, 0.5)]  # as a process killed now would leave it
    summaries.close()


def test_the_picture_is_stored_as_drawn_with_its_size(tmp_path):
    drawn = strips()
    with Summaries(tmp_path, start_step=0) as summaries:
        summaries.picture(3, drawn)
    (event,) = load(tmp_path, "validation").Tensors("strips")
    width, height, png = tensor_util.make_ndarray(event.tensor_proto)
    assert (event.step, png) == (3, drawn)
    assert (int(width), int(height)) == Image.open(io.BytesIO(png)).size
    assert load(tmp_path, "validation").SummaryMetadata("strips").plugin_data.plugin_name == "images"


def test_a_strip_shows_a_row_a_level_and_is_not_blank():
    image = np.asarray(Image.open(io.BytesIO(strips())).convert("L"), np.float32)
    third = image.shape[0] // 3
    for row in (image[:third], image[-third:]):
        columns = np.array_split(row, 5, axis=1)
        assert min(column.std() for column in columns) > 10  # of 255 grey levels


def test_settings_come_back_as_hyper_parameters(tmp_path):
    settings = {"method": "method1", "learning_rate": 1e-4, "batch_size": 64, "clip_x0": False, "mnist_file": None}
    with Summaries(tmp_path, start_step=0) as summaries:
        summaries.hyperparameters(settings)
    metadata = load(tmp_path, "train").SummaryMetadata("_hparams_/session_start_info")
    found = plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info.hparams
    assert {name: getattr(value, value.WhichOneof("kind")) for name, value in found.items()} == {
        "method": "method1", "learning_rate": 1e-4, "batch_size": 64, "clip_x0": False,
    }  # fmt: skip


@pytest.mark.parametrize("start_step", [0, 4])
def test_what_was_written_after_the_checkpoint_no_longer_counts(tmp_path, start_step):
    with Summaries(tmp_path, start_step=0) as summaries:
        for step in (2, 4, 6, 8):
            summaries.scalars("train", step, {"loss": 1.0})
    with Summaries(tmp_path, start_step=start_step) as summaries:
        for step in range(start_step + 2, 12, 2):
            summaries.scalars("train", step, {"loss": 0.5})
    # Once more, as TensorBoard treats the first start of a folder in another way.
    with Summaries(tmp_path, start_step=8) as summaries:
        summaries.scalars("train", 10, {"loss": 0.25})
    expected = [(step, 1.0 if step <= start_step else 0.5) for step in (2, 4, 6, 8)] + [(10, 0.25)]
    assert curve(tmp_path, "train", "loss") == expected
    assert [(line["step"], line["loss"]) for line in history(tmp_path)] == expected


def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path):
    with Summaries(tmp_path, start_step=0) as summaries:
        summaries.scalars("train", 2, {"loss": 1.0})
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"step": 4, "part": "tr')
    with Summaries(tmp_path, start_step=2) as summaries:
        summaries.scalars("train", 4, {"loss": 0.5})
    assert [line["step"] for line in history(tmp_path)] == [2, 4]


@pytest.mark.parametrize("write", ["scalars", "picture", "hyperparameters"])
def test_a_file_that_may_not_grow_is_an_error_at_once(tmp_path, file_size_limit, write):
    arguments = {"scalars": ("train", 2, {"loss": 1.0}), "picture": (2, strips()), "hyperparameters": ({"seed": 1},)}
    with Summaries(tmp_path, start_step=0) as summaries:
        summaries.scalars("train", 1, {"loss": 1.0})
        summaries.scalars("validation", 1, {"loss": 1.0})
        with file_size_limit(10), pytest.raises(ResourceError, match=r"cannot write to .*File too large"):
            getattr(summaries, write)(*arguments[write])


def test_a_full_disk_is_an_error_when_a_run_starts_again_and_keeps_the_history(small_disk, fill):
    with Summaries(small_disk, start_step=0) as summaries:
        summaries.scalars("train", 2, {"loss": 1.0})
    fill(small_disk)
    with pytest.raises(ResourceError, match=r"cannot write to .*No space left"):
        Summaries(small_disk, start_step=2)
    assert [line["step"] for line in history(small_disk)] == [2]


def test_a_full_disk_does_not_hide_the_error_that_came_first(small_disk, fill):
    summaries = Summaries(small_disk, start_step=0)
    fill(small_disk)
    with pytest.raises(DivergedError), summaries:
        raise DivergedError("step 3")
