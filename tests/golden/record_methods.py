"""Record what each method learns and answers, as the yardstick of `tests/test_golden.py`.

    TFDRIFT=path/to/a/checkout python tests/golden/record_methods.py OUT.npz

Everything goes through the command line, so that the same script runs on versions with another layout: 60 steps on the
phantom for each of `RUNS`, then `tfdrift evaluate`, then the demo models under `saved_models`. It was run at 461bd55,
before the packages were laid out anew, on 2 cores of an AMD EPYC with TensorFlow 2.21.0 and Keras 3.15.1. The scores of
methods that draw were recorded again on 2026-11-27, on another AMD EPYC, when a lesion's slices came to share their
noise; all weights, the scores of `direct` and the demo models' answers were then those of 461bd55 to the bit.

Sums in another order give other bits, so threads and the instruction set are fixed before TensorFlow is imported.
"""

import csv
import json
import os
import sys
import tempfile
from pathlib import Path

FIXED = {
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
os.environ.update({name: os.environ.get(f"GOLDEN_{name}", value) for name, value in FIXED.items()})

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

SMALL = "--steps 60 --image-size 16 --base-filters 2 --batch-size 16 --depth 2"
RUNS = {
    "method1": f"method1 {SMALL}",
    "method2": f"method2 {SMALL}",
    "direct": f"direct {SMALL}",
    "v": f"method2 {SMALL} --prediction v --schedule cosine --heads independent --ema 0.9 --drift-from last --seed 3",
    "balance": f"method1 {SMALL} --balance uncertainty --clip-norm 1 --heads decoupled --schedule linear-rate --fold 1",
}
EVALUATED = ("method1",)
LATER_BASELINES = ("nearest lesion",)
"""Rows of `metrics.csv` that the recorded version did not write yet; they are tested on their own."""
DEMO_MODELS = ("method1", "method2")


def run(command: str) -> None:
    """Run `tfdrift` with these arguments in this process."""
    from tfdrift_cli.main import cli

    cli(command.split(), standalone_mode=False)


def record_run(command: str, folder: Path, *, evaluated: bool) -> dict[str, np.ndarray]:
    """Return weights, scores and, where it is evaluated as a whole, the rows of `metrics.csv` of a run."""
    run(f"train {command} --out {folder}")
    checkpoint = tf.train.load_checkpoint(str(folder / "checkpoints"))
    shapes = checkpoint.get_variable_to_shape_map()
    found = {
        f"weights/{name}": checkpoint.get_tensor(name)
        for name in sorted(shapes)
        if name.endswith("VARIABLE_VALUE") and ("optimizer" not in name or "_trainable_variables" in name)
    }
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    found["scores"] = np.array(
        [
            *(metrics[score][bound] for score in ("skill", "drift_skill") for bound in ("value", "low", "high")),
            *(metrics[name]["ssim"] for name in ("copy", "mean_drift")),
            *(entry[score] for entry in metrics["levels"] for score in ("skill", "drift_skill")),
        ]
    )
    if evaluated:
        run(f"evaluate {folder} --out {folder / 'evaluation'} --samples 4")
        with (folder / "evaluation/metrics.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["method"] not in LATER_BASELINES]
        found["rows"] = np.array([f"{row['method']} {row['patient']} {row['row']}" for row in rows])
        found["row mse"] = np.array([float(row["mse"]) for row in rows])
    return found


def record_demo_model(folder: Path) -> dict[str, np.ndarray]:
    """Return the answers of each signature of a demo model to three discs."""
    version = max((path for path in folder.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
    model = tf.saved_model.load(str(version))
    rows, columns = np.indices((32, 32)) - 15.5
    discs = [height * (np.hypot(rows, columns) < radius) for height, radius in ((900, 9), (500, 12), (1200, 5))]
    image = tf.constant(np.stack(discs)[..., None], tf.float32)
    seed = tf.constant([[0, 1], [2, 3], [4, 5]], tf.int64)
    t = tf.constant([[0.0], [0.5], [1.0]], tf.float32)
    asked = {
        "serving_default": {"image": image, "seed": seed},
        "ensemble": {"image": image, "seed": seed},
        "denoise": {"image": image / 1000, "t": t},
    }
    return {
        f"{signature}/{name}": value.numpy()
        for signature, inputs in asked.items()
        for name, value in model.signatures[signature](**inputs).items()
    }


def processor() -> str:
    """Return the processor's name and features, on which the bits depend; empty where the system does not tell."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return "; ".join(
        sorted({line for line in lines if line.startswith(("model name", "cpu family", "model\t", "flags"))})
    )


def main(out: Path) -> None:
    """Record everything into one file."""
    checkout = Path(os.environ.get("TFDRIFT", Path(__file__).parents[2]))
    recorded = {"processor": np.array(processor())}
    with tempfile.TemporaryDirectory() as scratch:
        for name, command in RUNS.items():
            found = record_run(command, Path(scratch) / name, evaluated=name in EVALUATED)
            recorded |= {f"{name}/{key}": value for key, value in found.items()}
    for name in DEMO_MODELS:
        found = record_demo_model(checkout / "saved_models" / name)
        recorded |= {f"demo {name}/{key}": value for key, value in found.items()}
    np.savez_compressed(out, **recorded)
    print(f"{len(recorded)} arrays in {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
