"""A run with everything that is not the paper's: trained, loaded, exported, and the same answer from all of them."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.random_samples import make_samples
from tfdrift.config import train_config
from tfdrift.export.saved_model import export_run
from tfdrift.methods.symmetries import apply_symmetry
from tfdrift.training.run_folder import load_predictor
from tfdrift.training.train import train


@pytest.fixture(scope="module", params=[("method1", "difference", "none"), ("direct", "field", "learned")])
def run(request, tmp_path_factory):
    method, form, dressing = request.param
    folder = tmp_path_factory.mktemp(f"{method}-{form}")
    config = train_config(
        method, image_size=8, base_filters=2, depth=1, levels=3, batch_size=4, steps=8, validate_every=4,
        drift_form=form, output="correction", agree="averaged", symmetries=8, augment="symmetries", inner_folds=2,
        learning_rate=1e-2, dressing=dressing,
    )  # fmt: skip
    train(config, folder / "run", echo=lambda _line: None, samples=make_samples())
    return folder


@pytest.fixture(scope="module")
def version(run):
    return export_run(run / "run", run / "models")


def test_the_exported_model_answers_as_the_run(run, version):
    predictor = load_predictor(run / "run")[2]
    image = np.random.default_rng(0).random((3, 8, 8, 1), np.float32)
    image[:, 0, 0] = 1
    seed = tf.constant([[0, 0], [0, 1], [7, 5]], tf.int64)
    expected = predictor(tf.constant(image), seed)
    answer = tf.saved_model.load(str(version)).signatures["serving_default"](image=tf.constant(image), seed=seed)
    for name in ("post", "drift"):
        np.testing.assert_allclose(answer[name], expected[name], rtol=0, atol=1e-5)


def test_of_a_dressed_model_outcomes_differ(run, version):
    if load_predictor(run / "run")[2].dressing is None:
        pytest.skip("not dressed")
    image, seed = tf.constant(make_samples().pre[:2]), tf.constant([[0, 0], [0, 1]], tf.int64)
    answer = tf.saved_model.load(str(version)).signatures["ensemble"](image=image, seed=seed)
    assert (np.max(answer["post_std"], axis=(1, 2, 3)) > 0).all()


def test_the_exported_model_says_what_was_chosen(run, version):
    told = json.loads((version / "assets/config.json").read_text())["chosen"]
    assert told == json.loads((run / "run/config.json").read_text())["chosen"]


def test_the_drift_of_an_answer_is_its_post_without_its_pre(run):
    predictor = load_predictor(run / "run")[2]
    pre = tf.constant(make_samples().pre[:3])
    answer = predictor(pre, tf.constant([[0, 0], [0, 1], [7, 5]], tf.int64))
    np.testing.assert_allclose(answer["post"] - pre, answer["drift"], rtol=0, atol=1e-6)


def test_the_denoiser_turns_with_its_image(version):
    denoise = tf.saved_model.load(str(version)).signatures["denoise"]
    image, once = tf.constant(make_samples().pre[:2]), tf.constant([1, 5])
    t = tf.constant([[0.0], [1.0]])
    turned, answer = denoise(image=apply_symmetry(image, once), t=t), denoise(image=image, t=t)
    np.testing.assert_allclose(turned["recon"], apply_symmetry(answer["recon"], once), rtol=0, atol=1e-5)
