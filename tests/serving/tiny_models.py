"""SavedModels of a few bytes, of TensorFlow 2 and 1, whose answers are known."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf


def save_half_plus(folder: Path, plus: float = 2.0) -> Path:
    """Write a TensorFlow 2 model: y = x / 2 + plus."""
    module = tf.Module()
    module.half, module.plus = tf.Variable(tf.constant(0.5)), tf.Variable(tf.constant(plus))
    tf.saved_model.save(module, str(folder), signatures=_traced(lambda x: {"y": module.half * x + module.plus}, x=X))
    return folder


def save_half_plus_tf1(folder: Path, plus: float = 2.0) -> Path:
    """Write the same as a TensorFlow 1 model, by its own builder."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        y = v1.get_variable("half", initializer=0.5) * x + v1.get_variable("plus", initializer=plus)
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, [tf.saved_model.SERVING], {"serving_default": signature})
        builder.save()
    return folder


def save_half_plus_examples(folder: Path, plus: float) -> Path:
    """Write a TensorFlow 1 model of x / 2 + plus, which is fed x float32 [N, 1], or `tf.Example`s of it.

    serving_default  x -> y
    classify_x_to_y  examples: scores y without classes
    regress_x_to_y   examples: outputs y
    """
    v1, saved = tf.compat.v1, tf.compat.v1.saved_model
    with tf.Graph().as_default(), v1.Session() as session:
        text = v1.placeholder(tf.string, [None], name="examples")
        x = tf.identity(v1.parse_example(text, {"x": v1.FixedLenFeature([1], tf.float32)})["x"], name="x")
        y = v1.get_variable("half", initializer=0.5) * x + v1.get_variable("plus", initializer=plus)
        session.run(v1.global_variables_initializer())
        signatures = {
            "serving_default": saved.predict_signature_def({"x": x}, {"y": y}),
            "classify_x_to_y": saved.classification_signature_def(text, None, y),
            "regress_x_to_y": saved.regression_signature_def(text, y),
        }
        builder = saved.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, [tf.saved_model.SERVING], signatures)
        builder.save()
    return folder


def save_estimator(folder: Path) -> Path:
    """Write a TensorFlow 1 model asked with `tf.Example`s of a feature x, and perhaps y (else 100).

    serving_default  regression: x + y
    classes          classification: classes low, high, with scores x and y
    scores           classification: scores x and y alone
    labels           classification: the classes alone
    column           regression of shape [N, 1]: x
    wide             regression of shape [N, 2], which is none
    predict          x + y by name, no regression
    """
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        text = v1.placeholder(tf.string, [None], name="examples")
        features = {"x": v1.FixedLenFeature([], tf.float32), "y": v1.FixedLenFeature([], tf.float32, 100.0)}
        found = v1.parse_example(text, features)
        both = tf.stack([found["x"], found["y"]], axis=1)
        names = tf.repeat(tf.constant([["low", "high"]]), tf.shape(text)[0], axis=0)
        total = found["x"] + found["y"]
        saved = v1.saved_model
        signatures = {
            "serving_default": saved.regression_signature_def(text, total),
            "classes": saved.classification_signature_def(text, names, both),
            "scores": saved.classification_signature_def(text, None, both),
            "labels": saved.classification_signature_def(text, names, None),
            "column": saved.regression_signature_def(text, found["x"][:, None]),
            "wide": saved.regression_signature_def(text, both),
            "predict": saved.predict_signature_def({"inputs": text}, {"outputs": total}),
        }
        builder = saved.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, [tf.saved_model.SERVING], signatures)
        builder.save()
    return folder


def save_tf_examples(folder: Path) -> Path:
    """Write a TensorFlow 2 model asked with `tf.Example`s of a feature x, whose signatures all say that they predict.

    serving_default     x float32 [N] -> y = x
    serve_tf_examples   inputs -> classes low, high, with scores x and 2 x
    regress_tf_examples inputs -> outputs 2 x
    named_otherwise     examples -> outputs x
    """
    text, module = tf.TensorSpec([None], tf.string), tf.Module()

    def read(examples: tf.Tensor) -> Any:
        return tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]

    def classify(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        x = read(inputs)
        classes = tf.repeat(tf.constant([["low", "high"]]), tf.shape(inputs)[0], axis=0)
        return {"classes": classes, "scores": tf.stack([x, 2 * x], axis=1)}

    signatures = {
        "serving_default": _traced(lambda x: {"y": tf.identity(x)}, x=X),
        "serve_tf_examples": _traced(classify, inputs=text),
        "regress_tf_examples": _traced(lambda inputs: {"outputs": 2 * read(inputs)}, inputs=text),
        "named_otherwise": _traced(lambda examples: {"outputs": read(examples)}, examples=text),
    }
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


def save_many(folder: Path) -> Path:
    """Write a model with a signature for each thing that a server can get wrong.

    serving_default  tag string [N], signal float32 [N, 3] -> tag_bytes = tag, total float32 [N]
    text             tag string [N] -> text string [N], the same
    ragged           x float32 [N] -> a = x [N], b [2]: no common batch size
    scalar           x float32 [N] -> total float32 []
    reshape          x float32 [N] -> y [2]: fails in the graph unless N = 2
    wait             x int32 [N] -> y int32 []: counts to x[0], about 100,000 a second
    """
    module = tf.Module()
    tag, signal = tf.TensorSpec([None], tf.string, "tag"), tf.TensorSpec([None, 3], tf.float32, "signal")
    steps = tf.TensorSpec([None], tf.int32, "x")
    signatures = {
        "serving_default": _traced(
            lambda tag, signal: {"tag_bytes": tf.identity(tag), "total": tf.reduce_sum(signal, 1)},
            tag=tag,
            signal=signal,
        ),
        "text": _traced(lambda tag: {"text": tf.identity(tag)}, tag=tag),
        "ragged": _traced(lambda x: {"a": tf.identity(x), "b": tf.zeros(2)}, x=X),
        "scalar": _traced(lambda x: {"total": tf.reduce_sum(x)}, x=X),
        "reshape": _traced(lambda x: {"y": tf.reshape(x, [2])}, x=X),
        "wait": _traced(
            lambda x: {"y": tf.while_loop(lambda i: i < x[0], lambda i: [i + 1], [0], parallel_iterations=1)[0]},
            x=steps,
        ),
    }
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


X = tf.TensorSpec([None], tf.float32, "x")


def _traced(function, **specs):
    return tf.function(function).get_concrete_function(**specs)


def floats(*values: float) -> np.ndarray:
    """Return a float32 array [N]."""
    return np.array(values, np.float32)
