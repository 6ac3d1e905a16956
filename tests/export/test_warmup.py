import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from tfdrift.export.warmup import WARMUP_FILE, synthetic_requests, write_warmup


@pytest.fixture(scope="module")
def logs(exported) -> list[PredictionLog]:
    """What lies beside an exported model."""
    records = tf.data.TFRecordDataset(str(exported.version / WARMUP_FILE))
    return [PredictionLog.FromString(record.numpy()) for record in records]


def test_every_signature_is_warmed_up_with_a_request_it_can_answer(exported, logs):
    model = tf.saved_model.load(str(exported.version))
    assert {log.predict_log.request.model_spec.signature_name for log in logs} == set(model.signatures)
    for log in logs:
        request = log.predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
        answer = model.signatures[request.model_spec.signature_name](**inputs)
        assert all(len(value) == 2 for value in answer.values())
        assert all(value.dtype == tf.string or np.isfinite(value).all() for value in answer.values())


def test_a_request_comes_back_as_it_was_written(tmp_path):
    requests = synthetic_requests(8)
    write_warmup(tmp_path / "assets.extra/requests", requests)
    for record in tf.data.TFRecordDataset(str(tmp_path / "assets.extra/requests")):
        request = PredictionLog.FromString(record.numpy()).predict_log.request
        expected = requests[request.model_spec.signature_name]
        assert set(request.inputs) == set(expected)
        for name, value in expected.items():
            np.testing.assert_array_equal(tf.make_ndarray(request.inputs[name]), value)


def test_images_are_round_spots_of_nobody():
    image = synthetic_requests(9)["serving_default"]["image"]
    np.testing.assert_array_equal(image, np.rot90(image, axes=(1, 2)))
    assert image.max() == pytest.approx(1000)
