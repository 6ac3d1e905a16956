"""The runs of an exported model: one, or several that are one ensemble."""

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from tfdrift.config import TrainConfig, differences
from tfdrift.errors import DataError, UsageError
from tfdrift.evaluation.answers import refuse_same_run
from tfdrift.methods.method import Predictor
from tfdrift.training.run_folder import load_predictor

SIGNATURE = "serving_default"
"""Signature in which a model answers."""
FIELD = "field"
"""Signature in which a method tells its `maps` beside `post` and `drift`."""
CONDITIONED, GUIDED = "conditioned", "guided"
"""How signatures are called that take a `condition` as well, and those that take a `guidance` beside it."""


class Member(NamedTuple):
    """A run as `load_predictor` gives it.

    Args:
        config: its settings.
        facts: what stands beside them in its folder, and the `step` of the weights.
        predictor: around its network.
    """

    config: TrainConfig
    facts: dict[str, Any]
    predictor: Predictor


def load_members(run_folders: Sequence[Path]) -> list[Member]:
    """Return the runs of a model; those of an ensemble are trainings of one kind that differ in their seed.

    Args:
        run_folders: what `tfdrift train` wrote, one or more.

    Raises:
        DataError: a folder is no run or holds no checkpoint, or a run was trained on other data than the first.
        UsageError: a run has other settings than the first, or comes twice.
    """
    members = [_load_run(folder) for folder in run_folders]
    first = members[0]
    for folder, member in zip(run_folders, members, strict=True):
        found = differences(member.config, dataclasses.replace(first.config, seed=member.config.seed))
        if found:
            raise UsageError(
                f"{folder} has other settings than {run_folders[0]} ({'; '.join(found)}); an ensemble's runs differ in "
                "their --seed"
            )
        if member.facts["data"]["fingerprint"] != first.facts["data"]["fingerprint"]:
            raise DataError(f"{folder} was trained on other data than {run_folders[0]}")
        if member.predictor.inputs != first.predictor.inputs:
            raise DataError(f"{folder} was trained with other conditions than {run_folders[0]}")
    refuse_same_run([member.config for member in members], run_folders)
    return members


def describe_members(members: Sequence[Member]) -> list[dict[str, Any]]:
    """Return what an ensemble's `config.json` says of each of its runs; nothing of a single run.

    Args:
        members: of `load_members`.
    """
    if len(members) == 1:
        return []
    return [
        {
            "seed": member.config.seed,
            "step": member.facts["step"],
            "weights_sha256": weights_sha256(weights_of(member.predictor)),
            **({"chosen": member.facts["chosen"]} if "chosen" in member.facts else {}),
        }
        for member in members
    ]


def member_signature(member: int) -> str:
    """Return the name of the signature in which a member of an ensemble answers alone, `maps` and all.

    Args:
        member: its number, from 0.

    Example:
        >>> member_signature(2)
        'member_2'
    """
    return f"member_{member}"


def told_signature(signature: str, told: str) -> str:
    """Return the name of the signature that answers as another one does and is told more.

    Args:
        signature: the other one.
        told: `CONDITIONED` or `GUIDED`.

    Example:
        >>> told_signature("serving_default", CONDITIONED), told_signature("member_2", GUIDED)
        ('serving_conditioned', 'member_2_guided')
    """
    return f"{'serving' if signature == SIGNATURE else signature}_{told}"


def weights_of(predictor: Predictor) -> list[tf.Variable]:
    """Return the weights of a predictor's network as plain TensorFlow variables."""
    return [weight.value for weight in predictor.network.variables]


def weights_sha256(weights: Iterable[tf.Variable]) -> str:
    """Return the SHA-256 over dtype, shape and values of each weight in turn: what the answers come from."""
    digest = hashlib.sha256()
    for weight in weights:
        values = weight.numpy()
        digest.update(f"{weight.dtype.name} {list(values.shape)}\n".encode() + values.tobytes())
    return digest.hexdigest()


def _load_run(run_folder: Path) -> Member:
    if not run_folder.is_dir():
        raise DataError(f"{run_folder} is no folder; give a run folder that `tfdrift train` wrote")
    return Member(*load_predictor(run_folder))
