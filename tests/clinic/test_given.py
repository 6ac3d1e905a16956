import numpy as np
import pytest

from tfdrift.clinic.given import NOTHING, make_plan
from tfdrift.errors import UsageError
from tfdrift.model.conditions import NO_CONDITIONS, fit_conditions

COLUMNS = {
    "interval_days": np.array([20.0, 90.0]),
    "response": np.array(["good", "poor"]),
    "site": np.array(["north", "south"]),
    "size": np.array([2.0, 9.0]),
    "dose_gy": np.array([[20.0, 1.0], [24.0, 3.0]]),
}
CONDITIONS = fit_conditions(list(COLUMNS), COLUMNS)


def cases(*given: str, **named) -> list[dict[str, float]]:
    plan = make_plan(given, CONDITIONS, **named)
    return [{one.name: one.number for one in scenario} for scenario in plan.scenarios]


def test_nothing_given_is_no_plan():
    assert make_plan([], NO_CONDITIONS) == NOTHING


def test_one_number_and_one_class_are_told_to_the_forecast():
    plan = make_plan(["interval_days=42", "site=south"], CONDITIONS)
    assert [(one.name, one.said, one.number) for one in plan.told] == [
        ("interval_days", "42", 42.0),
        ("site", "south", 1.0),
    ]
    assert (plan.scenarios, plan.axis) == ((), None)


def test_a_response_is_never_told_to_the_forecast():
    plan = make_plan(["response=good"], CONDITIONS)
    assert plan.told == ()
    assert cases("response=good") == [{"response": 0.0}]


@pytest.mark.parametrize(
    "given", [("response=good,poor",), ("response=good", "response=poor"), ("response = good , poor",)]
)
def test_both_responses_in_one_option_or_two_are_two_cases(given):
    assert cases(*given) == [{"response": 0.0}, {"response": 1.0}]
    assert [one.words for (one,) in make_plan(given, CONDITIONS).scenarios] == [
        "if it responds well",
        "if it responds poorly",
    ]


def test_several_numbers_are_a_course_for_each_class():
    plan = make_plan(["interval_days=21,90", "response=good,poor"], CONDITIONS)
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
        make_plan([given], CONDITIONS)


def test_a_model_without_conditions_says_so():
    with pytest.raises(UsageError, match="--given interval_days: the model takes none"):
        make_plan(["interval_days=42"], NO_CONDITIONS)


@pytest.mark.parametrize(
    ("given", "columns", "guidance", "said"),
    [
        ("interval_days=42", ["interval_days"], 2.0, "--guidance 2: the model has no class"),
        ("interval_days=42", list(COLUMNS), 2.0, "--guidance 2: no class is asked for"),
        ("response=good", list(COLUMNS), -1.0, "--guidance -1: must be between 0 and 20"),
        ("response=good", list(COLUMNS), float("nan"), "--guidance nan: must be between 0 and 20"),
    ],
)
def test_guidance_that_leads_nowhere_is_refused(given, columns, guidance, said):
    with pytest.raises(UsageError, match=said):
        make_plan([given], fit_conditions(columns, COLUMNS), guidance=guidance)
