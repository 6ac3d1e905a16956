"""What TensorBoard and `history.jsonl` show of a run."""

import json
import os
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.image.metadata import create_summary_metadata
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.util.tensor_util import make_tensor_proto

from tfdrift.axes import picture
from tfdrift.drawing.figure import png_bytes
from tfdrift.drawing.panels import Panel, draw_panels
from tfdrift.errors import ResourceError
from tfdrift.files import write_whole
from tfdrift.training.checkpoint import writing


class Summaries:
    """The event files under `runs/<name>/tensorboard` and the history beside them; use it in a `with` statement.

    Nothing stays in memory: what was written before a checkpoint outlives a kill after it. The event files are written
    as records, because `tf.summary` drops a large one on a full disk without an error.

    Args:
        folder: the run folder.
        start_step: the step the run goes on from; what was written after it, before a crash, no longer counts.

    Raises:
        ResourceError: the disk is full or the folder cannot be written; the methods raise it too.
    """

    def __init__(self, folder: Path, *, start_step: int) -> None:
        self._folder, self._history = folder, folder / "history.jsonl"
        # TensorBoard drops what it has read of this step and later ones at each START but the first of a folder.
        restart = Event(step=start_step + 1, session_log=SessionLog(status=SessionLog.START))
        with writing(folder):
            _forget_history(self._history, start_step)
            self._files = {part: _open_events(folder / "tensorboard" / part) for part in ("train", "validation")}
            for part in self._files:
                self._write(part, Event(file_version="brain.Event:2"))
                self._write(part, restart)

    def __enter__(self) -> "Summaries":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            self.close()
        except ResourceError:
            if error is None:  # otherwise the error on its way came first and says more
                raise

    def hyperparameters(self, settings: dict[str, Any]) -> None:
        """Write the run's settings for TensorBoard's HParams page; unset ones are left out."""
        known = {name: value for name, value in settings.items() if value is not None}
        self._write("train", Event(summary=hparams.hparams_pb(known)))

    def scalars(self, part: str, step: int, values: dict[str, float]) -> None:
        """Write numbers and a line of history.

        Args:
            part: `train` or `validation`.
            step: of the optimiser.
            values: by name; `recon_mse` becomes `recon/mse` in TensorBoard.
        """
        summary = Summary(value=[scalar_pb(_tag(name), value).value[0] for name, value in values.items()])
        self._write(part, Event(step=step, summary=summary))
        with writing(self._folder), self._history.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "part": part, **values}) + "\n")

    def picture(self, step: int, png: bytes) -> None:
        """Write a picture to `validation`.

        Args:
            step: of the optimiser.
            png: the picture's file.
        """
        width, height = struct.unpack(">II", png[16:24])  # the first chunk of a PNG begins with its size
        strips = Summary.Value(
            tag="strips",
            metadata=create_summary_metadata(display_name=None, description=None),
            tensor=make_tensor_proto([str(width).encode(), str(height).encode(), png]),
        )
        self._write("validation", Event(step=step, summary=Summary(value=[strips])))

    def close(self) -> None:
        """Close the files."""
        with writing(self._folder):
            for file in self._files.values():
                file.close()

    def _write(self, part: str, event: Event) -> None:
        event.wall_time = time.time()
        with writing(self._folder):
            self._files[part].write(event.SerializeToString())
            self._files[part].flush()


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
                Panel(image=picture(pre), title="pre", kind="image"),
                Panel(image=picture(post), title="post", kind="image"),
                Panel(image=picture(level_post), title="predicted post", kind="image"),
                Panel(image=picture(post) - picture(pre), title="drift", kind="drift"),
                Panel(image=picture(level_drift), title="predicted drift", kind="drift"),
            ]
        )
    row_titles = ["no noise" if level is None else f"level {level}" for level in levels]
    return png_bytes(draw_panels(rows, row_titles=row_titles))


def _tag(name: str) -> str:
    for group in ("recon", "drift"):
        if name.startswith(f"{group}_"):
            return f"{group}/{name.removeprefix(f'{group}_')}"
    return name


def _forget_history(file: Path, start_step: int) -> None:
    """Keep the lines up to `start_step`; a line that a kill cut short has no end."""
    if not file.exists():
        return
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("}\n") and json.loads(line)["step"] <= start_step]
    write_whole(file, "".join(kept))


def _open_events(logdir: Path) -> tf.io.TFRecordWriter:
    logdir.mkdir(parents=True, exist_ok=True)
    # TensorBoard reads the files of a folder in the order of their names.
    return tf.io.TFRecordWriter(str(logdir / f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"))
