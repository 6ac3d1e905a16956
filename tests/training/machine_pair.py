"""Trains one run on two machines, processes on the loopback address: the second is killed, then both start again.

    python machine_pair.py SETTINGS.json SAMPLES.npz FOLDER

prints a JSON list of [wait status, last words] of each process: the pair that loses one, a pair with unequal seeds,
and the pair that goes on. TensorFlow is imported once, a machine is a fork.
"""

import dataclasses
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from tfdrift.cohort.samples import Samples, read_samples
from tfdrift.config import TrainConfig
from tfdrift.errors import TfdriftError
from tfdrift.training import train as training
from tfdrift.training.machines import join


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports


def die_at_step(step: int) -> None:
    """Have this process end as `kill -9` does when it comes to a step."""
    inner = training.run_steps

    def run_steps(steps, first_step, count):
        if first_step >= step:
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(steps, first_step, count)

    training.run_steps = run_steps


def work(config: TrainConfig, samples: Samples, folder: Path, tf_config: str, words: Path) -> int:
    """Train as one of the machines, write an error's words, and return its exit code."""
    os.environ["TF_CONFIG"] = tf_config
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    try:
        machines = join(config, tf_config, echo=lambda _line: None)
        training.train(config, folder, echo=lambda _line: None, samples=samples, machines=machines)
    except TfdriftError as error:
        words.write_text(str(error), encoding="utf-8")
        return error.exit_code
    return 0


def pair(
    configs: list[TrainConfig], samples: Samples, folder: Path, before: Callable[[int], None] = lambda _number: None
) -> list[tuple[int, str]]:
    """Return the wait status and words of each of the machines."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(configs))]
    words = [folder.with_name(f"words{number}") for number in range(len(configs))]
    children = []
    for number, config in enumerate(configs):
        words[number].write_text("", encoding="utf-8")
        child = os.fork()
        if child == 0:
            before(number)
            task = {"type": "worker", "index": number}
            tf_config = json.dumps({"cluster": {"worker": addresses}, "task": task})
            os._exit(work(config, samples, folder, tf_config, words[number]))
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    return [(status, text.read_text(encoding="utf-8")) for status, text in zip(statuses, words, strict=True)]


def main() -> None:
    """Lose a machine, refuse unequal ones, go on."""
    settings, samples_file, folder = sys.argv[1:]
    config = TrainConfig(**json.loads(Path(settings).read_text(encoding="utf-8")))
    samples = read_samples(Path(samples_file))
    lost = pair([config] * 2, samples, Path(folder), lambda number: die_at_step(6) if number == 1 else None)
    unequal = pair([config, dataclasses.replace(config, log_every=3)], samples, Path(folder))
    print(json.dumps([lost, unequal, pair([config] * 2, samples, Path(folder))]))  # noqa: T201 - what the test reads


if __name__ == "__main__":
    main()
