"""Requests that a server answers to itself when it loads a model, so that the first user does not wait."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog

from tfdrift.export.members import CONDITIONED, GUIDED
from tfdrift.model.inputs import ONE_IMAGE, Inputs

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
SIGNATURES = ("serving_default", "ensemble", "denoise", "serve_tf_examples", "about")
"""What every model answers."""
BRIGHTEST = 1000.0  # of the order of an MR image's signals


def synthetic_requests(
    image_size: int, inputs: Inputs = ONE_IMAGE, signatures: Iterable[str] = SIGNATURES
) -> dict[str, dict[str, np.ndarray]]:
    """Return a request of two images to each signature: smooth round spots, nobody's lesion.

    Args:
        image_size: side S of the images in pixels.
        inputs: what the model is given.
        signatures: what it answers.

    Returns:
        The inputs of each signature by name.

    Example:
        >>> {name: sorted(inputs) for name, inputs in synthetic_requests(8).items()}["denoise"]
        ['image', 't']
    """
    row, column = np.mgrid[:image_size, :image_size] - (image_size - 1) / 2
    radius = image_size * np.array([0.2, 0.35])[:, None, None]
    spot = np.exp(-(row**2 + column**2) / (2 * radius**2))[..., None].astype(np.float32)
    shape = inputs.image_shape(image_size)
    spot = np.broadcast_to(spot if len(shape) == 3 else spot[:, None], [2, *shape]).copy()
    image, seed = BRIGHTEST * spot, np.array([[0, 0], [0, 1]], np.int64)
    t = np.array([[0.25], [0.75]], np.float32)
    examples = [_example(*pair) for pair in zip(image, seed, strict=True)]
    numbers, asked = inputs.conditions.numbers, {"image": image, "seed": seed}
    conditioned = {**asked, "condition": np.zeros([2, numbers], np.float32)}
    told = {CONDITIONED: conditioned, GUIDED: {**conditioned, "guidance": np.full([2, 1], 2, np.float32)}}
    unlike = {
        "denoise": {"image": spot, "t": t},
        "serve_tf_examples": {"examples": np.array(examples, object)},  # NumPy's own strings end at a zero byte
        "about": {"asked": np.zeros(2, np.int64)},
    }
    return {name: unlike.get(name, told.get(name.rsplit("_", 1)[-1], asked)) for name in signatures}


def write_warmup(file: Path, requests: dict[str, dict[str, np.ndarray]]) -> None:
    """Write requests as a TFRecord of `PredictionLog`, which TF Serving replays when it loads the model.

    Args:
        file: `assets.extra/tf_serving_warmup_requests` in the version's folder.
        requests: the inputs of each signature by name.

    Source: TensorFlow Serving, "SavedModel Warmup". The model's name is left out: a server may give it any.
    """
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature, inputs in requests.items():
            request = PredictRequest(model_spec=ModelSpec(signature_name=signature))
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            writer.write(PredictionLog(predict_log=PredictLog(request=request)).SerializeToString())


def _example(image: np.ndarray, seed: np.ndarray) -> bytes:
    features = {
        "image": tf.train.Feature(float_list=tf.train.FloatList(value=image.ravel())),
        "seed": tf.train.Feature(int64_list=tf.train.Int64List(value=seed)),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
