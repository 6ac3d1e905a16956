"""How often the interval of a volume that `tfdrift predict` gives holds the truth, on the phantom's patients as DICOM.

Each fold's run predicts the patients of that fold, calibrated on those of all other folds: nobody is predicted by a run
that has seen them, or calibrated on themselves.

    tfdrift cohort phantom clinic
    tfdrift crossval method1
    python benchmarks/predicted_volumes.py crossval/method1 clinic
"""

import argparse
import dataclasses
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tfdrift.clinic.local_model import LocalModel
from tfdrift.clinic.predict import predict_patient
from tfdrift.cohort.response import response_group
from tfdrift.evaluation.answers import answer, join, load_shared_samples
from tfdrift.evaluation.calibration import calibrate
from tfdrift.export.saved_model import export_run


def main() -> None:
    """Print how many true volumes lie in the raw and in the calibrated intervals."""
    parser = argparse.ArgumentParser(description="How often the interval of a predicted volume holds the truth")
    parser.add_argument("crossval", type=Path, help="a cross-validation on the phantom, one run a fold")
    parser.add_argument("clinic", type=Path, help="the same phantom, written by `tfdrift cohort phantom`")
    options = parser.parse_args()
    runs = sorted(options.crossval.glob("fold*-seed0"))
    samples = load_shared_samples(runs[:1])
    fold_of = dict(zip(samples.patient.tolist(), samples.fold.tolist(), strict=True))
    answers = {found.config.fold: found for found in (answer([run], samples, count=16) for run in runs)}
    truths = json.loads((options.clinic / "truth.json").read_text(encoding="utf-8"))["patients"]
    found, shares = Counter(), []
    for run, fold in zip(runs, answers, strict=True):
        calibration = calibrate(join([answers[other] for other in answers if other != fold]))
        print(f"fold {fold}: margin {calibration.volume_margin:.3f} from {calibration.patients} patients")
        with tempfile.TemporaryDirectory() as folder:
            model = LocalModel(export_run(run, Path(folder) / "model"))
            facts = {**model.about.facts, "calibration": dataclasses.asdict(calibration)}
            model.about = model.about._replace(facts=facts)
            for number, truth in enumerate(truths):
                if fold_of[f"phantom{number:03d}"] == fold:
                    out = Path(folder) / f"prediction{number}"
                    of_patient = Counter()
                    for predicted, volume_mm3 in predict(model, options.clinic / truth["folder"], truth, out):
                        of_patient.update(judge(predicted, volume_mm3))
                    shares.append(of_patient["in the calibrated interval"] / of_patient["lesions"])
                    found += of_patient
    print("\n".join(f"{name:<40}{count}" for name, count in found.items()))
    print(f"{'in the calibrated interval, by patient':<40}{sum(shares) / len(shares):.3f} of {len(shares)} patients")


def predict(model: LocalModel, folder: Path, truth: dict[str, Any], out: Path) -> list[tuple[dict, dict[str, float]]]:
    """Return what `prediction.json` says of each lesion of a patient, and its true volumes."""
    visit = folder / truth["visits"]["pre"]["folder"]
    (rtstruct,) = (visit / "RTSTRUCT").rglob("*.dcm")
    document = predict_patient(model, series_dir=visit / "MR_T1", rtstruct=rtstruct, out=out)
    found = {lesion["name"]: lesion for lesion in document["lesions"]}
    return [(found[lesion["roi"]["pre"]], lesion["volume_mm3"]) for lesion in truth["lesions"]]


def judge(predicted: dict[str, Any], volume_mm3: dict[str, float]) -> dict[str, bool]:
    """Return what is true of a prediction, by name."""
    interval, post = predicted["volume_predicted_mm3"], volume_mm3["post"]
    share, below = predicted["share_of_samples_below_80_percent"], response_group(volume_mm3["pre"], post) == "B"
    return {
        "lesions": True,
        "in the raw interval": interval["raw_low"] <= post <= interval["raw_high"],
        "in the calibrated interval": interval["low"] <= post <= interval["high"],
        "all outcomes on one side of 80%": share in (0, 1),
        "all outcomes on the wrong side": share == (not below),
        "undecided by the calibrated interval": predicted["below_80_percent"] == "undecided",
    }


if __name__ == "__main__":
    main()
