"""Models that see the slices below and above a slice, from the crops to a patient's prediction."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.clinic.patients import SIZE, PythonModel, ball, write_patient
from tests.imaging.mock_dicom import make_grid
from tests.untrained_runs import leave_untrained
from tfdrift.clinic.lesion import crop_gtv, outcome_seeds, predict_lesion
from tfdrift.clinic.local_model import LocalModel
from tfdrift.clinic.plausibility import doubts
from tfdrift.clinic.predict import predict_patient
from tfdrift.clinic.scenarios import as_told, measure
from tfdrift.cohort.context import columns_of
from tfdrift.cohort.crop import crop_lesion
from tfdrift.config import train_config
from tfdrift.errors import DataError
from tfdrift.export.saved_model import export_run
from tfdrift.synthetic.phantom_samples import phantom_samples
from tfdrift.training.run_folder import load_predictor

SPACING_MM = (2.0, 1.1, 0.9)
GRID = make_grid(size=(30, 28, 17), spacing_mm=(0.9, 1.1, 2.0))
SIGNAL = np.random.default_rng(0).uniform(400, 900, (17, 28, 30)).astype(np.float32)
GTV = ball(GRID)


@pytest.fixture(scope="module")
def samples():
    return phantom_samples(image_size=SIZE, patients=3, folds=3, lesion_as="context")


@pytest.fixture(scope="module")
def exported(samples, tmp_path_factory):
    """An untrained run of slices with neighbours, and the model that it was exported as."""
    folder = tmp_path_factory.mktemp("context")
    config = train_config(
        "method1", lesion="context", image_size=SIZE, base_filters=2, depth=1, levels=3, batch_size=2, steps=1
    )
    leave_untrained(config, folder / "run", samples=samples, echo=print)
    return folder / "run", export_run(folder / "run", folder / "models")


def test_a_slice_is_the_same_with_neighbours_as_without(samples):
    plain = phantom_samples(image_size=SIZE, patients=3, folds=3)
    np.testing.assert_array_equal(samples.pre[..., :1], plain.pre)
    np.testing.assert_array_equal(samples.post, plain.post)
    assert samples.channels == ("T1", "T1 below", "T1 above")


def test_a_patient_is_shown_what_training_was():
    crops = crop_gtv(SIGNAL, GTV, SPACING_MM, SIZE, lesion="context")
    trained = crop_lesion(
        SIGNAL, SIGNAL, GTV, GTV, spacing_mm=SPACING_MM, image_size=SIZE, slices="all", lesion="context"
    )
    assert crops.slices == trained.slices
    np.testing.assert_allclose(crops.shown / crops.shown_scale[:, None, None, None], trained.pre, rtol=1e-6)


def test_a_neighbour_is_the_slice_itself_on_the_scale_of_the_one_between():
    crops = crop_gtv(SIGNAL, GTV, SPACING_MM, SIZE, lesion="context")
    for row, _ in enumerate(crops.slices):
        below = crops.image[row - 1, ..., 0] if row else np.zeros([SIZE, SIZE])
        above = crops.image[row + 1, ..., 0] if row + 1 < len(crops.slices) else np.zeros([SIZE, SIZE])
        np.testing.assert_array_equal(crops.shown[row, ..., 1], below)
        np.testing.assert_array_equal(crops.shown[row, ..., 2], above)
    np.testing.assert_array_equal(crops.shown_scale, crops.image.max(axis=(1, 2, 3)))


def test_the_network_is_told_the_lesions_numbers(exported):
    run, _ = exported
    config, _, trained = load_predictor(run)
    assert trained.inputs.conditions.names == config.conditions == ("size", "place", "peak")
    assert config.condition_dropout == 0.1
    assert trained.inputs.names == ("T1", "T1 below", "T1 above")


def test_more_conditions_stand_behind_these():
    config = train_config("direct", lesion="context", condition="interval_days,size")
    assert config.conditions == ("size", "place", "peak", "interval_days")


def test_the_exported_model_answers_as_the_run_does(exported):
    run, version = exported
    trained = load_predictor(run)[2]
    model = LocalModel(version)
    assert (model.about.lesion, model.about.image_size) == ("context", SIZE)
    crops = crop_gtv(SIGNAL, GTV, SPACING_MM, SIZE, lesion=model.about.lesion)
    seed = np.arange(2 * len(crops.slices)).reshape(-1, 2)
    conditions = trained.inputs.conditions
    told = conditions.values(measure(crops, GTV), len(crops.slices))
    served = model.predict(crops.shown, seed, told=as_told(told))
    scale = crops.shown_scale[:, None, None, None]
    ours = trained(tf.constant(crops.shown / scale), tf.constant(seed), tf.constant(told), None)
    for name in ("post", "drift"):
        np.testing.assert_allclose(served[name], scale * ours[name], rtol=2e-4, atol=2e-3)


def test_what_a_patient_shows_is_measured_as_in_a_cohort(samples):
    known = columns_of(samples)
    assert all(np.isfinite(known[name]).all() for name in ("size", "place", "peak"))
    crops = crop_gtv(SIGNAL, GTV, SPACING_MM, SIZE, lesion="context")
    plain = crop_gtv(SIGNAL, GTV, SPACING_MM, SIZE)
    for name, values in measure(crops, GTV).items():
        np.testing.assert_array_equal(values, measure(plain, GTV)[name])


def test_doubts_are_about_the_slice_alone():
    def unchanged(image, _seed):
        return {"post": image[..., :1], "drift": 0 * image[..., :1]}

    said = []
    for lesion in ("slice", "context"):
        crops = crop_gtv(SIGNAL, GTV, SPACING_MM, SIZE, lesion=lesion)
        seeds = outcome_seeds(0, 1, 2, len(crops.slices))
        prediction = predict_lesion(PythonModel(unchanged, lesion=lesion), GTV, crops, seeds)
        facts = {"data": {"ranges": {"pixel_mm": [0.1, 9.0], "mean_signal": [0.9, 1.0]}}}
        said.append(doubts(prediction, GTV.shape[1:], "axial", facts))
    assert said[0] == said[1]
    assert any("unlike the training data" in text for text in said[0])


def test_a_patient_is_predicted(exported, tmp_path):
    patient = write_patient(tmp_path / "patient")
    document = predict_patient(
        LocalModel(exported[1]), series_dir=patient.series, rtstruct=patient.rtstruct, out=tmp_path / "out", outcomes=2
    )
    assert json.loads((tmp_path / "out/prediction.json").read_text()) == document
    (told,) = [lesion["told"] for lesion in document["lesions"]]
    assert len(told["place"]) == len(document["lesions"][0]["slices"])


def test_a_lesion_without_signal_in_a_slice_is_refused():
    with pytest.raises(DataError, match="holds no signal above zero"):
        crop_gtv(np.zeros_like(SIGNAL), GTV, SPACING_MM, SIZE, lesion="context")
