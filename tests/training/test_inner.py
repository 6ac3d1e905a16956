"""How long to train and how far to trust the answer: chosen from sums over groups of the training patients."""

import dataclasses
import json

import numpy as np
import pytest

from tests.training.conftest import no_echo
from tfdrift.config import read_config, train_config
from tfdrift.errors import DataError, UsageError
from tfdrift.synthetic.phantom_samples import phantom_samples
from tfdrift.training.dressing import Answered, learn_dressing
from tfdrift.training.inner import Chosen, choose, deal, read_chosen, shrinkage
from tfdrift.training.run_folder import is_trained, load_predictor
from tfdrift.training.train import train

RNG = np.random.default_rng(0)


def write_histories(folder, looks):
    """Write a history of each group: looks[group][step] = (predicted, product, true)."""
    folders = []
    for number, of_group in enumerate(looks):
        folders.append(folder / f"group{number}")
        folders[-1].mkdir()
        names = ("change_predicted", "change_product", "change_true")
        lines = [
            json.dumps({"step": step, "part": "validation", **dict(zip(names, sums, strict=True))})
            for step, sums in of_group.items()
        ]
        (folders[-1] / "history.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folders


def test_groups_share_no_patient_and_are_of_one_size(make_samples):
    dealt = deal(make_samples(), groups=3, seed=0)
    groups = [set(dealt.patient[dealt.fold == group].tolist()) for group in range(3)]
    assert [len(group) for group in groups] == [2, 2, 2]
    assert len(set.union(*groups)) == 6


def test_more_groups_than_patients_are_refused(make_samples):
    with pytest.raises(DataError, match="6 patients cannot be dealt to 7"):
        deal(make_samples(), groups=7, seed=0)


def test_a_prediction_twice_too_large_is_halved():
    true = RNG.standard_normal((4, 100))
    assert shrinkage(np.sum((2 * true) ** 2, axis=1), np.sum(2 * true * true, axis=1)) == pytest.approx(0.5)


def test_a_prediction_of_the_wrong_sign_is_left_out():
    assert shrinkage(np.array([1.0, 2.0]), np.array([-1.0, -2.0])) == 0


def test_no_predicted_change_stays_so():
    assert shrinkage(np.zeros(3), np.zeros(3)) == 0


def test_groups_that_disagree_are_trusted_less_than_those_that_agree():
    agreeing, disagreeing = (shrinkage(np.ones(3), np.array(product)) for product in ([0.6] * 3, [1.2, 0.6, 0.0]))
    assert disagreeing < agreeing == pytest.approx(0.6)


def test_of_noise_little_is_left():
    factors = []
    for _ in range(200):
        predicted, true = RNG.standard_normal((2, 5, 30))
        factors.append(shrinkage(np.sum(predicted**2, axis=1), np.sum(predicted * true, axis=1)))
    assert np.mean(factors) < 0.05


def test_the_step_with_the_best_skill_of_all_groups_together_is_chosen(tmp_path):
    looks = [
        {10: (1.0, 0.5, 2.0), 20: (1.0, 1.0, 2.0), 30: (4.0, 1.0, 2.0)},
        {10: (1.0, 0.5, 2.0), 20: (1.0, 1.0, 2.0), 30: (4.0, 1.0, 2.0)},
    ]
    chosen = choose(write_histories(tmp_path, looks), every=10, steps=30)
    assert chosen == Chosen(steps=20, shrinkage=1.0, skill=0.5, groups=2)


def test_steps_beyond_the_last_or_between_two_looks_are_not_chosen(tmp_path):
    looks = [{10: (1.0, 0.5, 2.0), 15: (1.0, 1.0, 2.0), 20: (1.0, 0.8, 2.0)}] * 2
    assert choose(write_histories(tmp_path, looks), every=10, steps=10).steps == 10


@pytest.fixture(scope="module")
def inner_run(make_samples, tiny_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inner") / "run"
    config = tiny_config("direct", inner_folds=2, validate_every=4, dressing="learned")
    train(config, folder, echo=no_echo, samples=make_samples())
    return config, folder


def test_a_run_tells_what_was_chosen_and_its_answers_are_shrunk_so(inner_run):
    config, folder = inner_run
    chosen = read_chosen(read_config(folder / "config.json")[1])
    _, facts, predictor = load_predictor(folder)
    assert chosen is not None
    assert facts["step"] == chosen.steps
    assert predictor.shrinkage == chosen.shrinkage
    assert predictor.draws
    assert predictor.dressing == chosen.dressing
    assert chosen.groups == config.inner_folds


def test_errors_are_learned_from_what_the_groups_answered_at_the_chosen_step(inner_run, make_samples):
    config, folder = inner_run
    samples = make_samples()
    dealt = deal(samples.take(samples.fold != 0), groups=2, seed=0)
    chosen = read_chosen(read_config(folder / "config.json")[1])
    assert chosen is not None
    answered = []
    for group in range(2):
        held_out = dealt.take(dealt.fold == group)
        assert len(list((folder / f"inner/group{group}/answers").iterdir())) == config.steps // config.validate_every
        post = np.load(folder / f"inner/group{group}/answers/step-{chosen.steps}.npy")
        answered.append(Answered(held_out.pre + chosen.shrinkage * (post - held_out.pre), held_out))
    assert learn_dressing(answered, seed=config.seed) == chosen.dressing
    assert not (folder / "answers").exists()


def test_the_held_out_patients_take_no_part(inner_run, make_samples):
    _, folder = inner_run
    samples = make_samples()
    for group in range(2):
        _, facts = read_config(folder / f"inner/group{group}/config.json")
        assert facts["data"]["fingerprint"] == deal(samples.take(samples.fold != 0), groups=2, seed=0).fingerprint()


def test_a_run_is_trained_once_its_chosen_steps_are_done(inner_run, make_samples):
    config, folder = inner_run
    assert is_trained(config, folder, make_samples())
    assert not is_trained(dataclasses.replace(config, steps=16), folder, make_samples())


def test_the_interrupted_choice_goes_on_to_the_same_weights(inner_run, make_samples, tmp_path, read_weights):
    config, folder = inner_run

    def stop_at_second_group(line):
        if "group 2" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", echo=stop_at_second_group, samples=make_samples())
    train(config, tmp_path / "run", echo=no_echo, samples=make_samples())
    again, before = read_weights(tmp_path / "run"), read_weights(folder)
    assert again.keys() == before.keys()
    for name, weight in before.items():
        np.testing.assert_array_equal(again[name], weight)


def test_looks_at_other_steps_are_another_run(inner_run, make_samples):
    config, folder = inner_run
    with pytest.raises(UsageError, match="validate_every: 6, not 4"):
        train(dataclasses.replace(config, validate_every=6), folder, echo=no_echo, samples=make_samples())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inner_folds": 1}, "one group"),
        ({"dressing": "learned"}, "--dressing learned: .* add --inner-folds 3"),
        ({"inner_folds": 2, "steps": 100}, "no step to choose"),
    ],
)
def test_what_leaves_nothing_to_choose_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        train_config("direct", **settings)


def test_where_nothing_can_be_learned_the_answer_is_no_worse_than_no_change(tmp_path):
    seed = 2  # without inner groups the skill is -0.16 there
    samples = phantom_samples(image_size=16, patients=12, folds=3, seed=seed)
    # Each patient's change has a sign of its own, drawn by chance: its mean is zero, and no image tells it.
    names, row = np.unique(samples.patient, return_inverse=True)
    sign = np.random.default_rng(seed).choice([-1.0, 1.0], len(names))[row][:, None, None, None]
    samples = dataclasses.replace(samples, post=(samples.pre + sign * samples.drift).astype(np.float32))
    config = train_config(
        "direct", image_size=16, base_filters=4, depth=2, steps=60, batch_size=32, recon_ssim=0.0,
        output="correction", inner_folds=2, validate_every=20,
    )  # fmt: skip
    train(config, tmp_path / "run", echo=no_echo, samples=samples)
    last = json.loads((tmp_path / "run/history.jsonl").read_text().splitlines()[-1])
    assert last["part"] == "validation"
    assert last["skill"] > -0.02
