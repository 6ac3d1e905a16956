"""What a model is told of a lesion, and its answers to "what if", on a model that shrinks or grows as it is told."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from tests.clinic.patients import SIZE, PythonModel, ball, same, write_patient
from tests.imaging.mock_dicom import make_grid
from tfdrift.clinic.lesion import crop_gtv, outcome_seeds
from tfdrift.clinic.models import Told
from tfdrift.clinic.predict import predict_patient
from tfdrift.clinic.report import build_report
from tfdrift.clinic.scenarios import (
    NOTHING,
    as_told,
    ask_scenarios,
    describe_scenario,
    describe_told,
    make_plan,
    measure,
    told_of,
)
from tfdrift.cohort.context import columns_of
from tfdrift.cohort.crop import crop_lesion
from tfdrift.cohort.samples import Samples
from tfdrift.errors import UsageError
from tfdrift.model.conditions import NO_CONDITIONS, fit_conditions
from tfdrift.model.inputs import Inputs
from tfdrift.synthetic.phantom_dicom import write_phantom

GRID, SPACING = make_grid(size=(30, 28, 11), spacing_mm=(0.9, 1.1, 2.0)), (2.0, 1.1, 0.9)
COLUMNS = {
    "size": np.array([2.0, 9.0]),
    "place": np.array([-1.0, 1.0]),
    "interval_days": np.array([20.0, 90.0]),
    "response": np.array(["good", "poor"]),
}
CONDITIONS = fit_conditions(list(COLUMNS), COLUMNS)
FACTS = {"data": {"inputs": Inputs(conditions=CONDITIONS).as_document()}}
SIGNAL = np.random.default_rng(0).uniform(300, 900, (11, 28, 30)).astype(np.float32)


class ObedientModel(PythonModel):
    """Takes away half of the lesion's columns where it is told of a good response; guidance takes the other half."""

    def __init__(self) -> None:
        facts: Any = FACTS
        super().__init__(same, **facts)

    def predict(self, image: np.ndarray, seed: np.ndarray, member: int = 0, told: Told | None = None) -> dict:
        answer = super().predict(image, seed, member, told)
        assert told is not None
        good = told.condition[:, 3] == 0
        kept = np.ones_like(image)
        kept[good, :, : SIZE // 2 if told.guidance == 1 else SIZE] = 0
        post = answer["post"] * kept
        return {"post": post, "drift": post - image}


@pytest.fixture(scope="module")
def lesion():
    gtv = ball(GRID)
    return gtv, crop_gtv(SIGNAL, gtv, SPACING, SIZE)


def ask(lesion, given: list[str], guidance: float = 1.0):
    gtv, crops = lesion
    model = ObedientModel()
    seeds = outcome_seeds(0, 1, 2, len(crops.slices))
    plan = make_plan(given, CONDITIONS, guidance=guidance)
    return ask_scenarios(model, gtv, crops, seeds, plan, measure(crops, gtv)), model


def test_a_new_lesion_is_measured_as_in_a_cohort(lesion):
    gtv, crops = lesion
    cut = crop_lesion(SIGNAL, SIGNAL, gtv, gtv, spacing_mm=SPACING, image_size=SIZE, slices="all")
    count, volume = len(cut.slices), float(gtv.sum() * np.prod(SPACING))
    images: Any = {name: getattr(cut, name) for name in ("pre", "post", "pre_mask", "post_mask", "scale")}
    samples = Samples(
        **images,
        patient=np.full(count, "p"),
        lesion=np.full(count, "l"),
        fold=np.zeros(count, np.int32),
        pixel_mm=np.full(count, cut.pixel_mm, np.float32),
        pre_mm3=np.full(count, volume, np.float32),
        post_mm3=np.full(count, volume, np.float32),
        follow_up_mm3=np.full(count, volume, np.float32),
        conditions={"place": cut.place},
    )
    expected, found = columns_of(samples), measure(crops, gtv)
    assert cut.slices == crops.slices
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5)


def test_three_slices_measure_a_lesion_as_all_of_them_do(lesion):
    gtv, crops = lesion
    cut = crop_lesion(SIGNAL, SIGNAL, gtv, gtv, spacing_mm=SPACING, image_size=SIZE)
    rows = [crops.slices.index(k) for k in cut.slices]
    np.testing.assert_allclose(measure(crops, gtv)["place"][rows], cut.place)


def test_each_slice_is_told_what_was_measured_and_given_and_the_rest_is_unknown(lesion):
    gtv, crops = lesion
    (given,) = make_plan(["interval_days=42"], CONDITIONS).told
    values = told_of(CONDITIONS, measure(crops, gtv), [given])
    np.testing.assert_allclose(values[:, 0], (3 * gtv.sum() * np.prod(SPACING) / (4 * np.pi)) ** (1 / 3), rtol=1e-6)
    assert (values[[0, -1], 1].tolist(), set(values[:, 2])) == ([-1.0, 1.0], {42.0})
    assert np.isnan(values[:, 3]).all()
    told = describe_told(CONDITIONS, values)
    assert (told["interval_days"], told["response"]) == (42.0, None)
    assert told["place"] == pytest.approx(np.linspace(-1, 1, len(crops.slices)))


def test_nothing_known_is_asked_as_of_a_model_without_conditions():
    assert as_told(np.full((3, 2), np.nan)) is None
    assert as_told(np.array([[np.nan, 1.0]])) is not None


def test_cases_differ_by_what_they_are_told_and_not_by_chance(lesion):
    (well, poorly), model = ask(lesion, ["response=good,poor"])
    assert (well.words, poorly.words) == ("if it responds well", "if it responds poorly")
    halves = well.prediction.outcome_volumes_mm3 / poorly.prediction.outcome_volumes_mm3
    assert halves == pytest.approx([0.5, 0.5], abs=0.05)
    told = [one.condition[:, 3] for one in model.told if one is not None]
    assert [set(column) for column in told] == [{0.0}, {1.0}]


def test_guidance_goes_with_the_request_where_a_class_is_told(lesion):
    (well,), model = ask(lesion, ["response=good"], guidance=3.0)
    assert [one.guidance for one in model.told if one is not None] == [3.0]
    assert well.prediction.outcome_volumes_mm3.max() == 0
    assert describe_scenario(well, CONDITIONS)["guidance"] == 3.0


def test_a_number_beyond_the_training_data_is_a_warning_of_its_case(lesion):
    near, far = ask(lesion, ["interval_days=42,200"])[0]
    assert near.warnings == []
    assert far.warnings == ["interval_days is 200, in the training data it was 20 to 90"]


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """A patient whose forecast is told an interval, and whose response is asked for."""
    folder = tmp_path_factory.mktemp("scenarios")
    patient = write_patient(folder)
    given = ["interval_days=100", "response=good,poor"]
    document = predict_patient(
        ObedientModel(),
        series_dir=patient.series,
        rtstruct=patient.rtstruct,
        out=folder / "out",
        outcomes=2,
        given=given,
    )
    return document, (folder / "out/report.html").read_text()


def test_the_document_tells_what_the_forecast_was_told_and_each_case_beside_it(predicted):
    document, _ = predicted
    assert document["given"] == {"interval_days": 100.0}
    (lesion,) = document["lesions"]
    assert lesion["told"]["interval_days"] == 100.0
    assert [case["given"] for case in lesion["scenarios"]] == [{"response": "good"}, {"response": "poor"}]
    assert lesion["volume_predicted_mm3"]["mean"] == pytest.approx(lesion["scenarios"][1]["volume_mm3"]["mean"])
    assert "not a forecast, not a cause" in document["scenarios_are"]


def test_a_given_number_beyond_the_training_data_is_a_doubt_of_the_lesion_told_once(predicted):
    (lesion,) = predicted[0]["lesions"]
    said = "interval_days is 100, in the training data it was 20 to 90"
    assert lesion["warnings"].count(said) == 1
    assert all(case["warnings"] == [] for case in lesion["scenarios"])


def test_the_report_says_that_a_case_is_no_forecast(predicted):
    page = predicted[1]
    for text in ("if it responds well", "if it responds poorly", "Not a forecast", "interval_days 100", "Not told"):
        assert text in page


def test_a_course_is_drawn_where_there_are_several_numbers(lesion):
    scenarios, _ = ask(lesion, ["interval_days=20,90"])
    (document,) = [json.loads(json.dumps(describe_scenario(scenarios[0], CONDITIONS)))]
    assert document["given"] == {"interval_days": 20.0}
    assert "Volume against interval_days" in what_if_page(scenarios, "interval_days")


def what_if_page(scenarios, axis) -> str:
    from tests.clinic.test_report import make_document

    prediction = scenarios[0].prediction
    return build_report(
        make_document(), [prediction], direction=GRID.direction, card=None, scenarios=[scenarios], axis=axis
    )


GIVEN_COLUMNS = {
    "interval_days": np.array([20.0, 90.0]),
    "response": np.array(["good", "poor"]),
    "site": np.array(["north", "south"]),
    "size": np.array([2.0, 9.0]),
    "dose_gy": np.array([[20.0, 1.0], [24.0, 3.0]]),
}
GIVABLE = fit_conditions(list(GIVEN_COLUMNS), GIVEN_COLUMNS)


def cases(*given: str, **named) -> list[dict[str, float]]:
    plan = make_plan(given, GIVABLE, **named)
    return [{one.name: one.number for one in scenario} for scenario in plan.scenarios]


def test_nothing_given_is_no_plan():
    assert make_plan([], NO_CONDITIONS) == NOTHING


def test_one_number_and_one_class_are_told_to_the_forecast():
    plan = make_plan(["interval_days=42", "site=south"], GIVABLE)
    assert [(one.name, one.said, one.number) for one in plan.told] == [
        ("interval_days", "42", 42.0),
        ("site", "south", 1.0),
    ]
    assert (plan.scenarios, plan.axis) == ((), None)


def test_a_response_is_never_told_to_the_forecast():
    plan = make_plan(["response=good"], GIVABLE)
    assert plan.told == ()
    assert cases("response=good") == [{"response": 0.0}]


@pytest.mark.parametrize(
    "given", [("response=good,poor",), ("response=good", "response=poor"), ("response = good , poor",)]
)
def test_both_responses_in_one_option_or_two_are_two_cases(given):
    assert cases(*given) == [{"response": 0.0}, {"response": 1.0}]
    assert [one.words for (one,) in make_plan(given, GIVABLE).scenarios] == [
        "if it responds well",
        "if it responds poorly",
    ]


def test_several_numbers_are_a_course_for_each_class():
    plan = make_plan(["interval_days=21,90", "response=good,poor"], GIVABLE)
    assert plan.axis == "interval_days"
    assert len(plan.scenarios) == 4


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("dose=1", "--given dose: the model takes interval_days, response, site, size, dose_gy"),
        ("response=fair", "--given response=fair: the model has seen good, poor alone"),
        ("interval_days", "--given interval_days: say NAME=VALUE"),
        ("=3", "--given =3: say NAME=VALUE"),
        ("interval_days=soon", "--given interval_days=soon: must be a number"),
        ("interval_days=nan", "--given interval_days=nan: must be a number"),
        ("size=3", "--given size: it is measured in the MRI"),
        ("dose_gy=20", "--given dose_gy: it is 2 numbers"),
        ("interval_days=" + ",".join(map(str, range(13))), "13 combinations of values; at most 12"),
    ],
)
def test_what_cannot_be_given_is_refused(given, said):
    with pytest.raises(UsageError, match=said):
        make_plan([given], GIVABLE)


def test_a_model_without_conditions_says_so():
    with pytest.raises(UsageError, match="--given interval_days: the model takes none"):
        make_plan(["interval_days=42"], NO_CONDITIONS)


@pytest.mark.parametrize(
    ("given", "columns", "guidance", "said"),
    [
        ("interval_days=42", ["interval_days"], 2.0, "--guidance 2: the model has no class"),
        ("interval_days=42", list(GIVEN_COLUMNS), 2.0, "--guidance 2: no class is asked for"),
        ("response=good", list(GIVEN_COLUMNS), -1.0, "--guidance -1: must be between 0 and 20"),
        ("response=good", list(GIVEN_COLUMNS), float("nan"), "--guidance nan: must be between 0 and 20"),
    ],
)
def test_guidance_that_leads_nowhere_is_refused(given, columns, guidance, said):
    with pytest.raises(UsageError, match=said):
        make_plan([given], fit_conditions(columns, GIVEN_COLUMNS), guidance=guidance)


DOSED: Any = {
    "data": {
        "inputs": Inputs(channels=2, names=("T1", "dose")).as_document(),
        "ranges": {"pixel_mm": [0.1, 9.0], "mean_signal": [0.0, 1.0], "dose_gy": [15.0, 23.0]},
    }
}


def less_by_dose(image: np.ndarray, _seed: np.ndarray) -> dict[str, np.ndarray]:
    """Leave ever fewer columns of a lesion, from the left, the more dose it is shown."""
    pre, dose_gy = image[..., :1], image[..., 1:].max(axis=(1, 2, 3), keepdims=True)
    kept = np.arange(SIZE)[None, None, :, None] < 20 - 0.5 * dose_gy
    return {"post": pre * kept, "drift": pre * kept - pre}


def dosed(lesion, dose_gy: float = 20.0):
    gtv, crops = lesion
    more = (dose_gy * crops.shown_gtv).astype(np.float32)
    return gtv, dataclasses.replace(crops, more=more)


def test_at_another_dose_the_model_is_shown_that_dose_and_the_same_mri(lesion):
    gtv, crops = dosed(lesion)
    model = PythonModel(less_by_dose, **DOSED)
    plan = make_plan(["dose_scale=0.8,1,1.2"], NO_CONDITIONS, channels=model.about.channels)
    seeds = outcome_seeds(0, 1, 2, len(crops.slices))
    scenarios = ask_scenarios(model, gtv, crops, seeds, plan, measure(crops, gtv))
    assert [one.words for one in scenarios] == [f"at {scale} times the dose" for scale in ("0.8", "1", "1.2")]
    volumes = [one.prediction.outcome_volumes_mm3.mean() for one in scenarios]
    assert volumes[0] > volumes[1] > volumes[2] > 0
    assert [one.warnings for one in scenarios[:2]] == [[], []]
    assert scenarios[2].warnings == ["the mean dose in the GTV is 24.0 Gy, in the training data it was 15.0 to 23.0 Gy"]
    page = what_if_page(scenarios, plan.axis)
    assert "Volume against times the planned dose (the model&#39;s association, no advice)" in page
    assert "association of dose and outcome, no advice" in page


def test_another_dose_is_always_a_case_and_stands_beside_other_cases():
    plan = make_plan(["dose_scale=1.2", "response=good,poor"], GIVABLE, channels=("T1", "dose"))
    assert (plan.told, len(plan.scenarios), plan.asks_dose) == ((), 2, True)
    assert make_plan(["dose_scale=0.8,1.2"], GIVABLE, channels=("T1", "dose")).axis == "dose_scale"
    assert not make_plan(["response=good"], GIVABLE).asks_dose


@pytest.mark.parametrize("said", ["0", "-1", "11", "much", "nan", "inf"])
def test_a_scale_that_is_none_is_refused(said):
    with pytest.raises(UsageError, match=f"--given dose_scale={said}: must be a number above 0, at most 10"):
        make_plan([f"dose_scale={said}"], NO_CONDITIONS, channels=("T1", "dose"))


def test_a_model_that_sees_no_dose_is_not_asked_about_one():
    with pytest.raises(UsageError, match="--given dose_scale: the model sees T1 and no dose"):
        make_plan(["dose_scale=0.8,1.2"], NO_CONDITIONS)


@pytest.fixture(scope="module")
def treated(tmp_path_factory):
    """The first visit of a treated patient of the phantom: what `predict_patient` is given."""
    folder = tmp_path_factory.mktemp("treated") / "clinic"
    write_phantom(folder, patients=2, law="dose", spacing_mm=(5.0, 4.0, 4.0), workers=1)
    (visit,) = folder.glob("*_481000/*_pre")
    return {
        "series_dir": visit / "MR_T1",
        "rtstruct": next((visit / "RTSTRUCT").iterdir()),
        "dose": visit / "RTDOSE",
    }


def test_a_patient_with_an_rtdose_is_asked_at_other_doses(treated, tmp_path):
    model, given = PythonModel(less_by_dose, **DOSED), ["dose_scale=0.8,1,1.2"]
    document = predict_patient(model, **treated, out=tmp_path / "out", outcomes=2, given=given)
    (lesion,) = document["lesions"]
    volumes = [case["volume_mm3"]["mean"] for case in lesion["scenarios"]]
    assert volumes[0] > volumes[1] > volumes[2]
    assert volumes[1] == pytest.approx(lesion["volume_predicted_mm3"]["mean"])
    assert "association of dose and outcome, no advice" in document["scenarios_are"]
    assert [case["given"] for case in lesion["scenarios"]] == [{"dose_scale": scale} for scale in (0.8, 1.0, 1.2)]


def test_without_a_dose_there_is_none_to_scale(treated, tmp_path):
    files = {name: path for name, path in treated.items() if name != "dose"}
    with pytest.raises(UsageError, match="--given dose_scale: there is no dose to scale; give the RTDOSE with --dose"):
        predict_patient(PythonModel(less_by_dose, **DOSED), **files, out=tmp_path / "out", given=["dose_scale=1.2"])
