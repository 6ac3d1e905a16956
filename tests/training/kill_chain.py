"""Trains one run again and again, killed with SIGKILL at another point each time, then to its end.

    python kill_chain.py SETTINGS.json SAMPLES.npz FOLDER POINT...

prints a JSON list with the files of `checkpoints` after each kill. TensorFlow is imported once, an attempt is a fork.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path

from tensorflow.python.checkpoint import checkpoint_management
from tensorflow.python.ops import gen_io_ops

from tfdrift.cohort.samples import Samples, read_samples
from tfdrift.config import TrainConfig
from tfdrift.training import train as training
from tfdrift.training.summaries import Summaries


def kill(*_args, **_kwargs) -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def between_steps() -> None:
    """Die when the first line of progress is shown, before any checkpoint."""
    training.Progress.show = kill


def during_steps() -> None:
    """Die inside the compiled loop."""
    inner = training.run_steps

    def run_steps(steps, first_step, count):
        inner(steps, first_step, count)
        threading.Timer(0.05, kill).start()
        return inner(steps, first_step, 10**9)

    training.run_steps = run_steps


def during_save() -> None:
    """Die when the tensors are written and not yet moved into place."""
    gen_io_ops.merge_v2_checkpoints = kill


def before_naming() -> None:
    """Die when a checkpoint is complete and the `checkpoint` file does not name it yet."""
    checkpoint_management.update_checkpoint_state_internal = kill


def after_naming() -> None:
    """Die when a checkpoint is named and outdated ones are not yet deleted."""
    checkpoint_management.CheckpointManager._sweep = kill


def in_a_line() -> None:
    """Die in the middle of a line of history, after the first checkpoint."""
    inner = Summaries.scalars

    def scalars(self, part, step, values):
        if step <= 4:
            return inner(self, part, step, values)
        with self._history.open("a", encoding="utf-8") as file:
            file.write('{"step": 6, "part": "tra')
            file.flush()
        return kill()

    Summaries.scalars = scalars


def attempt(config: TrainConfig, samples: Samples, folder: Path, point: str | None) -> int:
    """Return the wait status of one training, killed at `point`."""
    child = os.fork()
    if child == 0:
        if point is not None:
            globals()[point]()
        training.train(config, folder, echo=lambda line: print(line, file=sys.stderr), samples=samples)  # noqa: T201
        os._exit(0)
    return os.waitpid(child, 0)[1]


def main() -> None:
    """Kill at each point in turn, then let the run end."""
    settings, samples_file, folder, *points = sys.argv[1:]
    config = TrainConfig(**json.loads(Path(settings).read_text(encoding="utf-8")))
    samples = read_samples(Path(samples_file))
    left = []
    for point in points:
        status = attempt(config, samples, Path(folder), point)
        assert os.WIFSIGNALED(status), f"{point}: not killed, status {status}"
        assert os.WTERMSIG(status) == signal.SIGKILL, f"{point}: status {status}"
        left.append(sorted(path.name for path in Path(folder, "checkpoints").glob("*")))
    status = attempt(config, samples, Path(folder), None)
    assert status == 0, f"the last attempt ended with status {status}"
    print(json.dumps(left))  # noqa: T201


if __name__ == "__main__":
    main()
