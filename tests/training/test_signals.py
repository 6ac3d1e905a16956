"""Whole runs: resumed to the same bits after every kind of end, refused where they must be, readable afterwards."""

import os
import signal
import threading

import pytest

from tfdrift.errors import StoppedError
from tfdrift.training.run_folder import load_predictor
from tfdrift.training.train import train

RUNS = {"method1": {"ema": 0.9}, "method2": {}}


def signal_at(step: int, number: signal.Signals):
    """Return an echo that sends this process a signal when the step is shown."""

    def echo(line: str) -> None:
        if line.startswith(f"step {step}/"):
            os.kill(os.getpid(), number)

    return echo


def test_a_signal_during_the_last_steps_is_not_lost(make_samples, tiny_config, tmp_path):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedError, match="stopped by SIGTERM at step 2 of 2"):
        train(tiny_config("direct", steps=2), tmp_path, echo=signal_at(2, signal.SIGTERM), samples=make_samples())
    assert load_predictor(tmp_path)[1]["step"] == 2
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_a_run_outside_the_main_thread_leaves_signals_alone(make_samples, tiny_config, tmp_path):
    seen = []
    thread = threading.Thread(
        target=train,
        args=(tiny_config("direct", steps=2), tmp_path),
        kwargs={"echo": lambda _line: seen.append(signal.getsignal(signal.SIGTERM)), "samples": make_samples()},
    )
    before = signal.getsignal(signal.SIGTERM)
    thread.start()
    thread.join()
    assert seen == [before]
    assert load_predictor(tmp_path)[1]["step"] == 2
