"""The scores of a run on the patients it has never seen, beside the baselines: `metrics.json` and `preview.png`."""

import json
from pathlib import Path

import numpy as np

from tfdrift.cohort.samples import Samples, split
from tfdrift.drawing.panels import write_png
from tfdrift.evaluation import baselines
from tfdrift.evaluation.answers import draw_levels, draw_outcomes
from tfdrift.evaluation.figures import draw_lesions
from tfdrift.evaluation.metrics import skill, skill_interval, squared_errors, ssim
from tfdrift.files import write_whole
from tfdrift.methods.method import Predictor
from tfdrift.training.run_folder import load_predictor, load_run_samples


def evaluate_run(folder: Path, *, samples: Samples | None = None) -> dict:
    """Score a run on its held-out fold and write `metrics.json` and `preview.png` into its folder.

    Args:
        folder: the run folder.
        samples: the run's data, if they are at hand.

    Returns:
        What stands in `metrics.json`: `skill` and `drift_skill` with intervals, `ssim`, the same of the baselines, and
        for each level the skill (`levels`). `best_level` is chosen on these very patients, so its skill flatters.

    Raises:
        DataError: no run, no checkpoint, or other data than it was trained on.
    """
    config, facts, predictor = load_predictor(folder)
    training, held_out = split(load_run_samples(config, facts, samples), config.fold)
    predicted, by_level = predict(predictor, held_out, seed=config.seed)

    copy_errors = squared_errors(baselines.copy(held_out), held_out.post)
    errors = squared_errors(predicted["post"], held_out.post)
    drift_errors = squared_errors(predicted["drift"], held_out.drift)
    mean_drift = baselines.mean_drift(training, held_out)
    levels = [
        {
            "level": level,
            "skill": skill(squared_errors(post, held_out.post), copy_errors),
            "drift_skill": skill(squared_errors(drift, held_out.drift), copy_errors),
        }
        for level, post, drift in zip(predictor.levels(), by_level["post"], by_level["drift"], strict=True)
    ]
    metrics = {
        "step": facts["step"],
        "method": config.method,
        "data": config.data_kind,
        "fold": config.fold,
        "patients": len(set(held_out.patient)),
        "lesions": len(set(held_out.lesion)),
        "slices": len(held_out),
        "skill": skill_interval(errors, copy_errors, held_out.patient)._asdict(),
        "drift_skill": skill_interval(drift_errors, copy_errors, held_out.patient)._asdict(),
        "ssim": float(ssim(predicted["post"], held_out.post, data_range=1.0).mean()),
        "copy": {"skill": 0.0, "ssim": float(ssim(held_out.pre, held_out.post, data_range=1.0).mean())},
        "mean_drift": {
            "skill": skill_interval(squared_errors(mean_drift, held_out.post), copy_errors, held_out.patient)._asdict(),
            "ssim": float(ssim(mean_drift, held_out.post, data_range=1.0).mean()),
        },
        "levels": levels,
        "best_level": max(levels, key=lambda entry: entry["skill"]),
    }
    write_png(draw_lesions(held_out, predicted, errors), folder / "preview.png")
    write_whole(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    return metrics


def predict(
    predictor: Predictor, held_out: Samples, *, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the predictions of every held-out slice, and those at each level.

    Args:
        predictor: a trained one.
        held_out: n slices.
        seed: of the noise; slice i is noised by (seed, i).

    Returns:
        `post` and `drift` float32 [n, S, S, 1], and the same [L, n, S, S, 1].
    """
    outcomes = draw_outcomes(predictor, held_out.pre, count=1, seed=seed)
    return {name: images[0] for name, images in outcomes.items()}, draw_levels(predictor, held_out.pre, seed=seed)
