"""What import, training, evaluation and prediction take as the number of patients grows.

    python benchmarks/scale.py 8 40 160 [--steps 50] [--outcomes 16] [--workers 2] [--keep FOLDER]

Each step is a command of its own on N patients of `tfdrift cohort phantom`, in a temporary folder of about 30 MB a
patient. Prints a row for each count: seconds, and the most memory that any one process of the command held. Training
is a fixed number of steps and its scores; prediction is of one patient, by the model that lies in the repository.
Writing the phantom is not measured.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("counts", nargs="+", type=int)
parser.add_argument("--steps", type=int, default=50)
parser.add_argument("--outcomes", type=int, default=16)
parser.add_argument("--workers", type=int, default=2)
parser.add_argument("--keep", type=Path, help="folder for all that is made, instead of a temporary one")
arguments = parser.parse_args()
MODEL = Path(__file__).parents[1] / "saved_models" / "method1"
STEPS = ("import", "train", "evaluate", "predict")


def command(*words: object) -> tuple[float, float]:
    """Run a command of tfdrift and return its seconds and the MB of its largest process."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "tfdrift_cli", *map(str, words)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"tfdrift {words[0]} ended with status {status}")
    return time.perf_counter() - started, used.ru_maxrss / 1024


def measure(patients: int, folder: Path) -> dict[str, tuple[float, float]]:
    """Return seconds and MB of each step for a number of patients.

    Args:
        patients: how many.
        folder: for everything that is made.
    """
    clinic, cohort, run = folder / "clinic", folder / "cohort", folder / "run"
    command("cohort", "phantom", clinic, "--patients", patients)
    visit = min(one for one in clinic.glob("*/*") if one.is_dir())
    taken = {"import": command("cohort", "import", clinic, cohort, "--folds", 4, "--workers", arguments.workers)}
    small = ("--base-filters", 8, "--steps", arguments.steps, "--out", run)
    taken["train"] = command("train", "method1", "--data", cohort, *small)
    taken["evaluate"] = command("evaluate", run, "--outcomes", arguments.outcomes, "--out", folder / "report")
    given = ("--model", MODEL, "--series", visit / "MR_T1", "--rtstruct", next(visit.glob("RTSTRUCT/*")))
    taken["predict"] = command("predict", *given, "--out", folder / "prediction")
    return taken


print("| patients |" + "".join(f" {step}, s | MB |" for step in STEPS))
print("|---|" + "---|---|" * len(STEPS))
for count in arguments.counts:
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(arguments.keep or temporary) / str(count)
        place.mkdir(parents=True)
        found = measure(count, place)
    cells = "".join(f" {found[step][0]:.0f} | {found[step][1]:.0f} |" for step in STEPS)
    print(f"| {count} |{cells}", flush=True)
