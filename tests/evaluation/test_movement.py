import dataclasses
import math

import numpy as np
import pytest

from tfdrift.evaluation.assessment import assess
from tfdrift.evaluation.movement import score_movement
from tfdrift.evaluation.page import compose
from tfdrift.evaluation.report import evaluate
from tfdrift.synthetic.new_patients import NewPatients

PATIENT = np.array(["a", "b", "b"])


@pytest.fixture
def true():
    return np.random.default_rng(0).normal(0, 2, (3, 4, 4, 2))


@pytest.fixture
def gtv():
    mask = np.zeros((3, 4, 4, 1), bool)
    mask[:, 1:3, 1:] = True
    return mask


def test_the_true_movement_has_no_error_and_standing_still_no_skill(true, gtv):
    exact, still = (score_movement(said, true, gtv, PATIENT) for said in (true, 0 * true))
    assert (exact.error_mm.value, exact.skill.value) == (0, 1)
    assert still.error_mm == still.still_mm == exact.still_mm
    assert still.skill.value == 0


def test_a_quarter_too_far_everywhere_is_a_sixteenth_of_the_squared_error(true, gtv):
    found = score_movement(1.25 * true, true, gtv, PATIENT)
    assert found.skill.value == pytest.approx(1 - 1 / 16)
    assert found.error_mm.value == pytest.approx(found.still_mm.value / 4)


def test_what_is_said_outside_the_first_gtv_does_not_count(true, gtv):
    found = score_movement(np.where(gtv, true, 99.0), true, gtv, PATIENT)
    assert found.error_mm.value == 0


def test_where_nothing_moves_there_is_no_skill_to_tell(true, gtv):
    found = score_movement(true, 0 * true, gtv, PATIENT)
    assert math.isnan(found.skill.value)
    assert found.error_mm.value > found.still_mm.value == 0


def test_a_field_is_scored_in_mm_beside_who_knows_the_law(tiny_run, phantom, tmp_path):
    new = NewPatients(patients=3, data_seed=5)
    run = tiny_run("direct", drift_form="field")
    metrics = evaluate([run], tmp_path, samples=phantom, new_patients=new)
    found, oracle = metrics.ours.movement, metrics.methods["oracle"].movement
    assert found is not None
    assert oracle is not None
    # An untrained network says that nothing moves.
    assert (found.error_mm, found.skill.value) == (found.still_mm, 0)
    true, _ = new.movement(phantom.image_size)
    drawn = new.draw(phantom.image_size)
    lengths = [np.mean(np.hypot(*one[mask].T)) for one, mask in zip(true, drawn.pre_mask[..., 0], strict=True)]
    by_patient = [np.mean(np.array(lengths)[drawn.patient == name]) for name in np.unique(drawn.patient)]
    assert found.still_mm.value == pytest.approx(np.mean(by_patient), rel=0.2)
    assert oracle.skill.value > 0.5
    assert "## How far does tissue move?" in (tmp_path / "report.md").read_text()


def test_the_page_tells_of_movement_where_the_true_one_is_known(make_answers, phantom):
    still = np.zeros((*phantom.pre.shape[:3], 2), np.float32)
    answers = dataclasses.replace(make_answers(), movement=still)
    found = assess(answers, true_movement=still + 1).metrics
    assert found.ours.movement is not None
    assert found.ours.movement.error_mm.value == pytest.approx(math.sqrt(2))
    assert "## How far does tissue move?" in compose(found, [])
    assert "## How far does tissue move?" not in compose(assess(answers).metrics, [])
