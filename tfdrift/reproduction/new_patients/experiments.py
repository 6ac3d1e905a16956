"""Experiments on patients that are drawn anew: recipes under every law, and how many training patients it takes."""

import dataclasses
from typing import Any

from tfdrift.config import PHANTOM_LAWS
from tfdrift.reproduction.experiment import RECIPE, Experiment, Run
from tfdrift.synthetic.new_patients import NewPatients

NEW = NewPatients(patients=150, data_seed=4242)
SCORED_LAWS = tuple(law for law in PHANTOM_LAWS if law not in ("random", "dose"))
PHANTOMS = (49, 98, 195, 390)
"""Patients of the learning curve; one of five folds is not trained on, so that 40, 79, 156 and 312 are."""

_SMALL: dict[str, Any] = {"base_filters": 8}
VISIT_DAYS = "10,21,45,90"
"""Of the phantom's MRIs after the first, each two a pair, where time is what is learned."""
_IN_TIME: dict[str, Any] = {**RECIPE, "visit_days": VISIT_DAYS, "inner_folds": 3, "dressing": "learned"}
_VISITS: dict[str, Any] = {**RECIPE, "visit_days": VISIT_DAYS}
_FIELD: dict[str, Any] = {**RECIPE, "drift_form": "field"}
_IN_ONE_LOOK: dict[str, Any] = {**RECIPE, "symmetries": 1}
_INNER: dict[str, Any] = {"inner_folds": 3, "validate_every": 50}
_CUBES: dict[str, Any] = {"lesion": "volume", "image_size": 16, "batch_size": 16}
LESION_LAWS = ("response", "growth", "necrosis")
_DRESSED: dict[str, Any] = {**RECIPE, "inner_folds": 3, "validate_every": 250, "dressing": "learned"}


def _run(label: str, method: str, *, seeds: int = 1, patients: int = PHANTOMS[0], **settings: Any) -> Run:
    given = {**_SMALL, "patients": patients, **settings}
    return Run(label=label, method=method, settings=given, preset="default", seeds=seeds)


def _under(law: str) -> tuple[Run, ...]:
    return (
        _run("Method 1", "method1", law=law),
        _run("direct, recipe", "direct", law=law, **RECIPE),
        _run("direct, recipe, field", "direct", law=law, **_FIELD),
        _run("direct, recipe, errors drawn", "direct", law=law, **_DRESSED),
        _run("distribution, recipe", "distribution", law=law, **RECIPE),
    )


def _as_lesions(law: str) -> tuple[Run, ...]:
    """Return what sees a lesion in each way, trained for about as long as the others, and for four times that."""
    kinds = (
        ("slice", 1000, {}),
        ("slice, told size, place and peak", 1000, {"condition": "size,place,peak"}),
        ("context", 1000, {"lesion": "context"}),
        ("volume", 500, _CUBES),
    )
    return tuple(
        _run(label, "direct", law=law, **{**RECIPE, **settings, "steps": times * steps})
        for times in (1, 4)
        for label, steps, settings in kinds
    )


EXPERIMENTS = (
    Experiment(
        name="recipes",
        kind="recipes",
        title="Recipes on 150 new patients of the phantom",
        purpose="What each part of a recipe is worth in skill, CRPS, coverage and decisions, beside the oracle.",
        expect="Mirrored copies and averages gain; a proper score buys coverage; nothing reaches the oracle.",
        runs=(
            _run("Method 1", "method1"),
            _run("Method 1, recipe", "method1", **RECIPE),
            _run("direct", "direct"),
            _run("direct, recipe", "direct", **RECIPE),
            _run("direct, recipe, 3 runs", "direct", seeds=3, **RECIPE),
            _run("direct, recipe, field", "direct", **_FIELD),
            _run("direct, recipe, errors drawn", "direct", **_DRESSED),
            _run("distribution, recipe", "distribution", **RECIPE),
            _run("palette", "palette"),
        ),
        new_patients=NEW,
    ),
    Experiment(
        name="training-seeds",
        kind="recipes",
        title="Four seeds of three recipes, on 150 new patients of the phantom",
        purpose="By how much two trainings of one recipe differ, beside the intervals over patients.",
        expect="Seeds differ by less than recipes do.",
        runs=tuple(
            _run(f"{label}, seed {seed}", method, **settings, seed=seed)
            for label, method, settings in (
                ("Method 1", "method1", {}),
                ("direct, recipe", "direct", RECIPE),
                ("direct, recipe, field", "direct", _FIELD),
            )
            for seed in range(4)
        ),
        new_patients=NEW,
    ),
    *(
        Experiment(
            name=f"law-{law}",
            kind="recipes",
            title=f"Recipes under the law {law}, on 150 new patients",
            purpose="Whether what holds under one law holds under others, too.",
            expect="The order of methods is that of `recipes`; under chance all are near the mean.",
            runs=_under(law),
            new_patients=NEW,
        )
        for law in SCORED_LAWS[1:]
    ),
    *(
        Experiment(
            name="whole-lesion" if law == LESION_LAWS[0] else f"whole-{law}",
            kind="whole lesions",
            title=f"Slices, their neighbours and whole lesions under the law {law}, on 60 new patients",
            purpose="What it is worth to see more of a lesion than a slice, for the time that it takes.",
            expect="Neighbours and volumes know the lesion's size and core, and come nearer to the oracle.",
            runs=_as_lesions(law),
            new_patients=dataclasses.replace(NEW, patients=60),
        )
        for law in LESION_LAWS
    ),
    Experiment(
        name="learning-curve",
        kind="learning curve",
        title="Skill and CRPS against the number of training patients",
        purpose="Whether data or the design is the limit.",
        expect="Eight times the patients gain a few hundredths of skill; the oracle stays out of reach of one slice.",
        runs=tuple(
            _run(f"direct, recipe, phantom of {patients}", "direct", patients=patients, **RECIPE)
            for patients in PHANTOMS
        ),
        new_patients=NEW,
    ),
    Experiment(
        name="conditions",
        kind="classes",
        title="What is drawn for a good and for a poor response, on 150 new patients",
        purpose="Whether volumes drawn for each class of response differ as those of the true classes do.",
        expect="Poor is larger than good in nearly every lesion; guidance pulls the two apart, past the truth.",
        runs=(
            _run("Method 1", "method1", condition="response"),
            _run("Method 1, recipe, context", "method1", condition="response,size,core,place", **_IN_ONE_LOOK),
        ),
        new_patients=NEW,
    ),
    Experiment(
        name="trajectory",
        kind="courses",
        title="Volumes foreseen for six days, on 150 new patients",
        purpose="Whether one network that is told the interval foresees the course, between and up to the days it saw.",
        expect="Told the days, the error stays near the oracle's; told nothing, it grows away from the middle of them.",
        runs=(
            _run("told the interval", "direct", condition="interval_days", **_IN_TIME),
            _run("told nothing", "direct", **_IN_TIME),
            _run("Method 1, told the interval", "method1", condition="interval_days", visit_days=VISIT_DAYS),
        ),
        new_patients=dataclasses.replace(NEW, days=(14, 21, 30, 45, 60, 90)),
    ),
    Experiment(
        name="counterfactual",
        kind="doses",
        title="Volumes at 0.8 and 1.2 times the dose, on 60 new patients",
        purpose="Whether what a network says of another dose is what the law would have done to that very lesion.",
        expect="More dose, less volume in nearly every lesion, by less than the law says: the mean is a blurred edge.",
        runs=(_run("dose as an image", "direct", law="dose", **RECIPE),),
        new_patients=dataclasses.replace(NEW, patients=60),
    ),
    Experiment(
        name="third-visit",
        kind="third visit",
        title="The third visit foreseen from two and from one, on 150 new patients",
        purpose="What it is worth to know how a lesion changed until the MRI that is predicted from.",
        expect="The earlier change gains skill over its days alone; asked without, it does worse than one never told.",
        runs=(
            _run("told the earlier change", "direct", condition="interval_days,earlier_days,earlier_ratio", **_VISITS),
            _run("never told", "direct", condition="interval_days", **_VISITS),
        ),
        new_patients=dataclasses.replace(NEW, since=21, days=(45, 90)),
    ),
    Experiment(
        name="few-patients",
        kind="recipes",
        title="Eight training patients, on 150 new ones",
        purpose="What few patients cost, and what choosing steps and shrinkage among them saves.",
        expect="Without the choice the skill may fall below 0, most of all under chance; with it it stays near 0.",
        runs=tuple(
            _run(label, "direct", patients=10, law=law, steps=300, **{**RECIPE, "decay": "none"}, **settings)
            for law in ("chance", "response")
            for label, settings in (("300 steps", {}), ("inner stop and shrinkage", _INNER))
        ),
        new_patients=NEW,
    ),
)
"""What needs the phantom, whose patients can be drawn anew."""
