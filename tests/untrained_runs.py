"""Runs as `train` leaves them, but with their first weights: as good to be scored and drawn as any, and soon made."""

import json
from collections.abc import Callable
from pathlib import Path

from tfdrift.cohort.folds import split
from tfdrift.cohort.samples import Samples
from tfdrift.config import TrainConfig, write_config
from tfdrift.training.checkpoint import Checkpoints
from tfdrift.training.run_folder import build_network, data_facts, inputs_of


def leave_untrained(config: TrainConfig, folder: Path, *, echo: Callable[[str], None], samples: Samples) -> None:
    """Write what `tfdrift.training.train.train` would, with a loss that falls as 1 / step."""
    training, _ = split(samples, config.fold)
    network = build_network(config, inputs_of(config, training))
    Checkpoints(folder / "checkpoints", network=network).save(config.steps)
    write_config(folder / "config.json", config.seen_from(folder), data=data_facts(config, samples, training))
    lines = [
        {"step": step, "part": "train", "recon_loss": 1 / step, "drift_loss": 2 / step}
        for step in range(1, config.steps + 1)
    ]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    echo(f"{folder} has its first weights")
