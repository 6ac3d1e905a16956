"""Several machines: parts of a batch and their means, who is who, what is refused, and a run that loses a machine."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.command_line import exit_code
from tfdrift.cohort.samples import save_samples
from tfdrift.config import train_config
from tfdrift.errors import UsageError
from tfdrift.methods import METHODS, make_method
from tfdrift.model.unet import build_unet
from tfdrift.training import machines
from tfdrift.training.machines import ALONE, Machines, Place, check_machines, join, read_tf_config
from tfdrift.training.step import make_loss
from tfdrift.training.train import train

PAIR = {"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, "task": {"type": "worker", "index": 1}}
RNG = np.random.default_rng(0)
BATCH = {
    "pre": tf.constant(RNG.random((4, 8, 8, 1), np.float32)),
    "post": tf.constant(RNG.random((4, 8, 8, 1), np.float32)),
}


def no_echo(_line: str) -> None:
    pass


@pytest.mark.parametrize("name", METHODS)
def test_the_mean_over_the_parts_is_the_loss_and_the_gradient_of_the_whole_batch(name):
    config = train_config(name, levels=5, image_size=8, base_filters=2, depth=1)
    method = make_method(name, dataclasses.asdict(config))
    network = build_unet(
        8, base_filters=2, depth=1, conditions=2, outputs=method.output_channels(1), latents=method.latents
    )
    batch = {**BATCH, "condition": tf.constant(RNG.random((4, 2), np.float32))}
    shares = {"recon": config.recon_ssim, "drift": config.drift_ssim}

    def gradients(who: Machines) -> list[np.ndarray]:
        loss = make_loss(network, method, weights={"recon": 1.0, "drift": 3.0}, ssim_shares=shares, machines=who)
        with tf.GradientTape() as tape:
            total = loss(batch, tf.constant([0, 7], tf.int64))["loss"]
        return [total.numpy(), *(part.numpy() for part in tape.gradient(total, network.trainable_variables))]

    parts = [gradients(Machines(count=2, number=number)) for number in range(2)]
    assert parts[0][0] != parts[1][0]
    for whole, one, other in zip(gradients(ALONE), *parts, strict=True):
        np.testing.assert_allclose((one + other) / 2, whole, rtol=1e-4, atol=1e-6 * max(1, np.abs(whole).max()))


def test_each_row_of_a_batch_is_in_one_machines_part():
    rows = tf.range(12)
    parts = [Machines(count=3, number=number).part(rows, 6).numpy().tolist() for number in range(3)]
    assert parts == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]


def test_a_chief_comes_before_the_workers():
    cluster = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    told = [
        {"cluster": cluster, "task": {"type": role, "index": index}} for role, index in (("chief", 0), ("worker", 1))
    ]
    addresses = ("a:1", "b:1", "c:1")
    assert [read_tf_config(json.dumps(one)) for one in told] == [Place(addresses=addresses, number=n) for n in (0, 2)]


@pytest.mark.parametrize("told", ["", "{}", '{"cluster": {"chief": ["a:1"]}, "task": {"type": "chief", "index": 0}}'])
def test_one_machine_is_a_training_as_usual(told):
    assert join(train_config("direct"), told, echo=no_echo) is ALONE


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("worker 1", "TF_CONFIG cannot be read; it must be as"),
        ("[]", "TF_CONFIG cannot be read; it must be as"),
        (json.dumps({**PAIR, "task": {"type": "worker", "index": "last"}}), "TF_CONFIG cannot be read"),
        (json.dumps({**PAIR, "task": {"type": "worker", "index": 2}}), "TF_CONFIG has no worker 2 among 2 machines"),
        (json.dumps({**PAIR, "task": {"type": "evaluator", "index": 0}}), "TF_CONFIG names a evaluator"),
        (json.dumps({**PAIR, "cluster": {**PAIR["cluster"], "ps": ["c:1"]}}), "names a ps; tfdrift train takes chief"),
    ],
)
def test_a_tf_config_that_cannot_be_used_is_refused(told, message):
    with pytest.raises(UsageError, match=message):
        read_tf_config(told)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"batch_size": 7},
            "--batch-size 7 cannot be divided over the 2 machines of TF_CONFIG; choose a multiple of 2",
        ),
        ({"inner_folds": 3}, "--inner-folds 3: these trainings are one machine's; unset TF_CONFIG"),
    ],
)
def test_settings_that_several_machines_cannot_train_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        check_machines(train_config("direct", **settings), 2)


def test_the_command_line_refuses_before_it_waits_for_others(monkeypatch, capsys):
    monkeypatch.setenv("TF_CONFIG", json.dumps(PAIR))
    assert exit_code(["train", "direct", "--batch-size", "7"]) == 2
    assert "choose a multiple of 2" in capsys.readouterr().err


def test_several_gpus_of_one_process_are_refused(monkeypatch):
    monkeypatch.setattr(machines.tf.config, "list_physical_devices", lambda _kind: ["one", "other"])
    with pytest.raises(UsageError, match="and 2 GPUs: a process trains on one; start one for each"):
        join(train_config("direct", batch_size=4), json.dumps(PAIR), echo=no_echo)


def losses(folder: Path) -> list[dict[str, Any]]:
    """Return what each line of the training's history says of losses and gradients."""
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    untold = ("images_per_second", "part")
    return [{k: v for k, v in line.items() if k not in untold} for line in lines if line["part"] == "train"]


def test_a_run_on_two_machines_that_loses_one_goes_on_to_what_one_machine_learns(
    make_samples, tiny_config, read_weights, tmp_path
):
    config = tiny_config("method1", balance="uncertainty")
    save_samples(tmp_path / "samples.npz", make_samples())
    (tmp_path / "settings.json").write_text(json.dumps(dataclasses.asdict(config)))
    arguments = [tmp_path / "settings.json", tmp_path / "samples.npz", tmp_path / "pair"]
    script = Path(__file__).with_name("machine_pair.py")
    with subprocess.Popen(
        [sys.executable, script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as both:
        train(config, tmp_path / "alone", echo=no_echo, samples=make_samples())
        output, errors = both.communicate(timeout=240)
    assert both.returncode == 0, errors
    lost, unequal, whole = json.loads(output)
    (left, words), (killed, _) = lost
    assert os.WTERMSIG(killed) == signal.SIGKILL
    assert os.WEXITSTATUS(left) == 4
    assert "another machine of TF_CONFIG is gone" in words
    assert "start the same command on all of them again" in words
    assert [os.WEXITSTATUS(status) for status, _ in unequal] == [2, 2]
    assert all("machine 1 of TF_CONFIG has other settings, data or checkpoints" in words for _, words in unequal)
    assert whole == [[0, ""], [0, ""]]
    ours, alone = losses(tmp_path / "pair"), losses(tmp_path / "alone")
    assert [line["step"] for line in ours] == [2, 4, 6, 8, 10, 12]
    for line, expected in zip(ours, alone, strict=True):
        assert line == pytest.approx(expected, rel=1e-4)
    theirs = read_weights(tmp_path / "alone")
    for name, value in read_weights(tmp_path / "pair").items():
        np.testing.assert_allclose(value, theirs[name], atol=1e-4, err_msg=name)
