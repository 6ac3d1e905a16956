"""From answers to the results of an evaluation: every score of a method beside the baselines and other methods."""

from collections.abc import Sequence

import numpy as np

from tfdrift import __version__
from tfdrift.cohort.samples import Samples
from tfdrift.config import TrainConfig
from tfdrift.evaluation import scores
from tfdrift.evaluation.answers import Answers
from tfdrift.evaluation.calibration import adaptive_margins, calibrate
from tfdrift.evaluation.decisions import decisions
from tfdrift.evaluation.document import Attainable, CopyScore, MeanDriftScore, MethodScores, Metrics, Uncertainty
from tfdrift.evaluation.memorisation import audit
from tfdrift.evaluation.movement import score_movement
from tfdrift.evaluation.response import lesions_of, of_lesions
from tfdrift.evaluation.results import Results, Row
from tfdrift.evaluation.scores import COPY, MEAN_DRIFT, ONE
from tfdrift.evaluation.strata import strata
from tfdrift.evaluation.uncertainty import drift_uncertainty, interval, volume_uncertainty
from tfdrift.statistics.comparison import compare
from tfdrift.synthetic.new_patients import NewPatients
from tfdrift.synthetic.oracle import AttainableSkill, ask_oracle


def assess(
    ours: Answers,
    others: Sequence[Answers] = (),
    *,
    attainable: Attainable | None = None,
    new_patients: NewPatients | None = None,
    true_movement: np.ndarray | None = None,
) -> Results:
    """Score a method and compare it with others on the same held-out patients.

    Args:
        ours: the method.
        others: further methods, with other labels, about the same slices.
        attainable: of `attainable_score`, where the data's law is known.
        new_patients: who was drawn to be scored, where no fold was held out.
        true_movement: float32 [n, S, S, 2], in mm along rows and columns, where it is known how far tissue moved.
    """
    held_out, every = ours.held_out, (ours, *others)
    columns = {
        name: scores.slice_scores(held_out, post, drift)
        for answers in every
        for name, (post, drift) in scores.predictions(answers).items()
    }
    methods = _method_scores(every, columns, true_movement)
    scored = ours.label + ONE if len(ours.post) > 1 and not ours.has_drawn_errors else ours.label
    single, of_single = columns[scored], methods[scored].scores
    of_mean_drift = methods[MEAN_DRIFT].scores
    assert of_single is not None
    assert of_mean_drift is not None
    levels, mse = scores.level_scores(ours), {name: table["mse"] for name, table in columns.items()}
    metrics = Metrics(
        tfdrift=__version__,
        label=ours.label,
        step=ours.step,
        method=ours.config.method,
        data=ours.config.data_kind if new_patients is None else "phantom",  # a folder of the machine stays out
        fingerprint=ours.fingerprint,
        fold=ours.config.fold,
        folds=sorted(set(held_out.fold.tolist())),
        patients=len(set(held_out.patient.tolist())),
        lesions=len(set(held_out.lesion.tolist())),
        slices=len(held_out),
        outcomes=len(ours.post),
        skill=of_single["skill"],
        drift_skill=of_single["drift_skill"],
        ssim=float(single["ssim"].mean()),
        copy=CopyScore(skill=0.0, ssim=float(columns[COPY]["ssim"].mean())),
        mean_drift=MeanDriftScore(skill=of_mean_drift["skill"], ssim=float(columns[MEAN_DRIFT]["ssim"].mean())),
        levels=levels,
        best_level=max(levels, key=lambda level: level.skill),
        chosen_level=scores.choose_level(ours),
        attainable=attainable,
        methods=methods,
        comparisons=[
            compare(ours.label, rival, mse[ours.label], mse[rival], ours.copy_mse, held_out.patient)
            for rival in (MEAN_DRIFT, *(answers.label for answers in others))
        ],
        calibration=calibrate(ours),
        new_patients=new_patients,
    )
    return Results(
        metrics=metrics,
        slices=[row for name, table in columns.items() for row in _slice_rows(held_out, name, table)],
        lesions=[row for answers in every for row in _lesion_rows(answers)],
        label=ours.label,
    )


def attainable_score(config: TrainConfig, patients: set[str]) -> Attainable | None:
    """Return the skill of the best predictor there can be, None where it is unknown.

    Args:
        config: of a run; only the phantom's law is known, and what follows its first MRI.
        patients: who is scored.
    """
    if config.data != "phantom" or config.visit_days:
        return None
    oracle = ask_oracle(
        image_size=config.image_size,
        patients=config.patients,
        law=config.law,
        among=patients,
        lesion_as=config.lesion,
    )
    return as_attainable(oracle.attainable)


def as_attainable(found: AttainableSkill) -> Attainable:
    """Return a skill as `metrics.json` has it."""
    return Attainable(skill=found.value, standard_error=found.standard_error)


def _method_scores(
    every: Sequence[Answers], columns: dict[str, scores.Columns], true_movement: np.ndarray | None
) -> dict[str, MethodScores]:
    ours = every[0]
    patient, copy_mse = ours.held_out.patient, ours.copy_mse
    clinic = {name: found for answers in reversed(every) for name, found in scores.clinic_scores(answers).items()}
    sure = {
        answers.label: Uncertainty(
            outcomes=len(answers.post), drift=drift_uncertainty(answers), volume=volume_uncertainty(answers)
        )
        for answers in every
    }
    decided = {answers.label: decisions(answers) for answers in every}
    by_lesion = {answers.label: strata(answers) for answers in every}
    adapted = {answers.label: adaptive_margins(answers) for answers in every}
    copied = {name: found for answers in reversed(every) for name, found in audit(answers).items()}
    moved = {
        answers.label: score_movement(answers.movement, true_movement, answers.held_out.pre_mask, patient)
        for answers in every
        if answers.movement is not None and true_movement is not None
    }
    return {
        name: MethodScores(
            scores=scores.image_scores(columns[name], copy_mse, patient) if name in columns else None,
            clinic=clinic[name],
            uncertainty=sure.get(name),
            decisions=decided.get(name),
            strata=by_lesion.get(name),
            memorisation=copied.get(name),
            adaptive=adapted.get(name),
            movement=moved.get(name),
        )
        for name in [*columns, *ours.volume_baselines, scores.PERFECT]
    }


def _slice_rows(held_out: Samples, method: str, columns: scores.Columns) -> list[Row]:
    return [
        {
            "method": method,
            "patient": str(held_out.patient[row]),
            "lesion": str(held_out.lesion[row]),
            "fold": int(held_out.fold[row]),
            "row": row,
            **{name: values[row].item() for name, values in columns.items()},
        }
        for row in range(len(held_out))
    ]


def _lesion_rows(answers: Answers) -> list[Row]:
    lesions, fold = lesions_of(answers.held_out), of_lesions(answers.held_out.fold, answers.held_out)
    low, high = interval(answers.ratios, 0.9)
    return [
        {
            "method": answers.label,
            "patient": str(lesions.patient[place]),
            "lesion": str(name),
            "fold": int(fold[place]),
            "pre_mm3": float(lesions.pre_mm3[place]),
            "post_ratio": float(lesions.ratio[place]),
            "predicted_ratio": float(answers.ratios[:, place].mean()),
            "predicted_low": float(low[place]),
            "predicted_high": float(high[place]),
            "poor_response": None if np.isnan(lesions.poor[place]) else bool(lesions.poor[place]),
        }
        for place, name in enumerate(lesions.name)
    ]
