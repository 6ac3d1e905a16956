"""`tfdrift workers` in a process of its own, on the loopback address."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def start_workers(count: int = 2) -> Iterator[tuple[subprocess.Popen, str]]:
    """Yield the process of the scheduler and its address; its workers can import the tests."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "tfdrift_cli", "workers", "--count", str(count), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split("--scheduler ")[1].split(",")[0]
        finally:
            process.terminate()
            process.wait(30)
