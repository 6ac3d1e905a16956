"""What TensorBoard and `history.jsonl` show of a run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.plugins.hparams import api as hparams
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from tfdrift.imaging.drawing import Panel, draw_panels, png_bytes


class Summaries:
    """The event files under `runs/<name>/tensorboard` and the history beside them.

    Args:
        folder: the run folder.
        start_step: the step the run goes on from; what was written after it, before a crash, no longer counts.
    """

    def __init__(self, folder: Path, *, start_step: int) -> None:
        self._history = folder / "history.jsonl"
        if self._history.exists():
            lines = self._history.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("}\n") and json.loads(line)["step"] <= start_step]
            self._history.write_text("".join(kept), encoding="utf-8")
        self._writers = {}
        for part in ("train", "validation"):
            logdir = folder / "tensorboard" / part
            if start_step > 0:
                restarted = EventFileWriter(str(logdir))
                restarted.add_event(Event(step=start_step + 1, session_log=SessionLog(status=SessionLog.START)))
                restarted.close()
            self._writers[part] = tf.summary.create_file_writer(str(logdir))

    def hyperparameters(self, settings: dict[str, Any]) -> None:
        """Write the run's settings for TensorBoard's HParams page; unset ones are left out."""
        with self._writers["train"].as_default():
            hparams.hparams({name: value for name, value in settings.items() if value is not None})

    def scalars(self, part: str, step: int, values: dict[str, float]) -> None:
        """Write numbers to `train` or `validation` and a line of history; `recon_mse` becomes `recon/mse`."""
        with self._writers[part].as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(_tag(name), value)
        with self._history.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "part": part, **values}) + "\n")

    def picture(self, step: int, png: bytes) -> None:
        """Write a PNG picture to `validation`."""
        image = tf.io.decode_png(png, channels=3)
        with self._writers["validation"].as_default(step=step):
            tf.summary.image("strips", image[None])

    def close(self) -> None:
        """Write out what is still in memory and close the files."""
        for writer in self._writers.values():
            writer.close()


def draw_strips(
    pre: np.ndarray, post: np.ndarray, predicted_post: np.ndarray, predicted_drift: np.ndarray, levels: list[int | None]
) -> bytes:
    """Return a PNG: a row a level with pre | post | predicted post | drift | predicted drift of one lesion.

    Args:
        pre: float32 [S, S, 1].
        post: the same shape.
        predicted_post: float32 [L, S, S, 1], one a level.
        predicted_drift: the same shape.
        levels: L level indices; None where there is no noise.
    """
    rows = []
    for level_post, level_drift in zip(predicted_post, predicted_drift, strict=True):
        rows.append(
            [
                Panel(image=pre[..., 0], title="pre", kind="image"),
                Panel(image=post[..., 0], title="post", kind="image"),
                Panel(image=level_post[..., 0], title="predicted post", kind="image"),
                Panel(image=(post - pre)[..., 0], title="drift", kind="drift"),
                Panel(image=level_drift[..., 0], title="predicted drift", kind="drift"),
            ]
        )
    row_titles = ["no noise" if level is None else f"level {level}" for level in levels]
    return png_bytes(draw_panels(rows, row_titles=row_titles))


def _tag(name: str) -> str:
    for group in ("recon", "drift"):
        if name.startswith(f"{group}_"):
            return f"{group}/{name.removeprefix(f'{group}_')}"
    return name
