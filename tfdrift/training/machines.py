"""One training over several machines: who they are, which part of a batch each has, and what they agree on.

The same command is started on each, with `TF_CONFIG` saying who all are and which one this is. Every machine draws the
whole batch and its noise, as one would alone, and asks the network about its own part of it; losses and gradients are
the means over all. So the weights, which start alike, stay alike. The first machine, the chief, writes the run folder;
the others read it.
"""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfdrift.config import TrainConfig
from tfdrift.errors import ResourceError, UsageError
from tfdrift.methods.method import Ask

_GONE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)
"""What TensorFlow says on a machine that waits for one that is no longer there."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Machines:
    """Those that train one run together, as one of them sees them.

    Args:
        count: how many; 1 is a training as usual, in which nothing here changes a bit.
        number: of this one, 0 for the chief.
        strategy: how they reach one another; None for one alone.
    """

    count: int = 1
    number: int = 0
    strategy: tf.distribute.MultiWorkerMirroredStrategy | None = None

    @property
    def is_chief(self) -> bool:
        """Whether this one writes the run folder."""
        return self.number == 0

    def part(self, rows: tf.Tensor, batch_size: int) -> tf.Tensor:
        """Return this machine's part of a batch, or of several copies of a batch one after the other.

        Args:
            rows: [k B, ...].
            batch_size: B, a multiple of `count`.

        Returns:
            [k B / count, ...].

        Example:
            >>> Machines(count=2, number=1).part(tf.constant([1, 2, 3, 4, 10, 20, 30, 40]), 4).numpy().tolist()
            [3, 4, 30, 40]
        """
        if self.count == 1:
            return rows
        dealt = tf.reshape(rows, [-1, self.count, batch_size // self.count, *rows.shape[1:]])
        return tf.reshape(dealt[:, self.number], [-1, *rows.shape[1:]])

    def asking_part(self, ask: Ask, batch_size: int) -> Ask:
        """Return a network that is shown this machine's part and answers 0 about the rest.

        What a method does with images and answers is done image by image, so its part of them is as if the network had
        been asked about all.

        Args:
            ask: the network.
            batch_size: B.
        """
        if self.count == 1:
            return ask

        def asked(image: tf.Tensor, t: tf.Tensor, latent: tf.Tensor | None = None, /) -> dict[str, tf.Tensor]:
            mine = [None if rows is None else self.part(rows, batch_size) for rows in (image, t, latent)]
            return {name: self._whole(rows, batch_size) for name, rows in ask(*mine).items()}  # pyright: ignore[reportArgumentType]

        return asked

    def _whole(self, part: tf.Tensor, batch_size: int) -> tf.Tensor:
        dealt = tf.reshape(part, [-1, 1, batch_size // self.count, *part.shape[1:]])
        around = [[0, 0], [self.number, self.count - 1 - self.number], *[[0, 0]] * len(part.shape)]
        return tf.reshape(tf.pad(dealt, around), [-1, *part.shape[1:]])

    def mean(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return each tensor's mean over the machines, the same bits on all of them.

        Args:
            tensors: float32, of the same shapes on every machine.
        """
        if self.strategy is None:
            return list(tensors)
        # One message: each costs the way there and back.
        flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)
        means = self._exchange(
            lambda context: context.all_reduce(
                tf.distribute.ReduceOp.MEAN, tf.identity(flat)
            )  # on this machine's device
        )
        parts = tf.split(means, [tensor.shape.num_elements() for tensor in tensors])
        return [tf.reshape(part, tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]

    def mean_losses(self, losses: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return the mean of each loss over the machines, with the gradient of this machine's own.

        So what is made of the means, such as their logarithms, has gradients whose mean is that of the whole batch.

        Args:
            losses: float32 scalars.
        """
        if self.strategy is None:
            return dict(losses)
        means = self.mean([tf.stop_gradient(loss) for loss in losses.values()])
        return {
            name: mean + (loss - tf.stop_gradient(loss))
            for (name, loss), mean in zip(losses.items(), means, strict=True)
        }

    def each(self, number: int) -> list[int]:
        """Return what each machine says, the chief first.

        Args:
            number: what this one says.
        """
        if self.strategy is None:
            return [number]
        said = self._exchange(
            lambda context: context.all_gather(tf.constant([[self.number, number]], tf.int64), axis=0)
        )
        return [int(one) for _, one in sorted(said.numpy().tolist())]

    def agree(self, told: Mapping[str, Any]) -> None:
        """Refuse to train where machines were told different things.

        Args:
            told: what all must know alike, as JSON takes it.

        Raises:
            UsageError: one differs; every machine says so.
        """
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).digest()
        said = self.each(int.from_bytes(digest[:7]))
        others = [str(number) for number, one in enumerate(said) if one != said[0]]
        if others:
            raise UsageError(
                f"machine {', '.join(others)} of TF_CONFIG has other settings, data or checkpoints than machine 0; "
                "give each the same command and the same folders"
            )

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Turn what is heard of a machine that is lost into an error.

        Raises:
            ResourceError: one is no longer there.
        """
        try:
            yield
        except _GONE:
            if self.strategy is None:
                raise
            raise ResourceError(
                "another machine of TF_CONFIG is gone, and what it said stands there; start the same command on all of "
                "them again to go on from the last checkpoint"
            ) from None

    def _exchange(self, speak: Callable[[Any], tf.Tensor]) -> tf.Tensor:
        assert self.strategy is not None
        return self.strategy.run(lambda: speak(tf.distribute.get_replica_context()))


ALONE = Machines()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Which one of the machines of `TF_CONFIG` this is.

    Args:
        addresses: host:port of each, the chief first.
        number: of this one.
    """

    addresses: tuple[str, ...]
    number: int


def read_tf_config(text: str) -> Place | None:
    """Return which machine this is, or None where `TF_CONFIG` says of no other.

    Args:
        text: what `TF_CONFIG` holds; empty where it is not set.

    Raises:
        UsageError: it cannot be read, or names what takes no part in such a training.

    Example:
        >>> read_tf_config('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}')
        Place(addresses=('a:1', 'b:1'), number=1)
    """
    form = 'it must be as {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
    try:
        told = json.loads(text or "{}")
        cluster, task = told.get("cluster") or {}, told.get("task") or {}
        roles = {role: [str(address) for address in addresses] for role, addresses in cluster.items()}
        kind, index = str(task.get("type") or ""), int(task.get("index", 0))
    except (ValueError, AttributeError, TypeError):
        raise UsageError(f"TF_CONFIG cannot be read; {form}") from None
    unknown = [role for role in [*roles, *([kind] if kind else [])] if role not in ("chief", "worker")]
    if unknown:
        raise UsageError(f"TF_CONFIG names a {unknown[0]}; tfdrift train takes chief and worker")
    places = [(role, number) for role in ("chief", "worker") for number in range(len(roles.get(role, [])))]
    if len(places) < 2:
        return None
    if (kind, index) not in places or len(roles.get("chief", [])) > 1:
        raise UsageError(f"TF_CONFIG has no {kind} {index} among {len(places)} machines, or several chiefs; {form}")
    addresses = tuple(roles[role][number] for role, number in places)
    return Place(addresses=addresses, number=places.index((kind, index)))  # pyright: ignore[reportArgumentType]


def check_machines(config: TrainConfig, count: int) -> None:
    """Refuse settings that several machines cannot train.

    Args:
        config: the settings.
        count: how many machines.

    Raises:
        UsageError: the message names the option.
    """
    if config.batch_size % count:
        raise UsageError(
            f"--batch-size {config.batch_size} cannot be divided over the {count} machines of TF_CONFIG; choose a "
            f"multiple of {count}"
        )
    if config.inner_folds:
        raise UsageError(
            f"--inner-folds {config.inner_folds}: these trainings are one machine's; unset TF_CONFIG, or leave it out"
        )


def join(config: TrainConfig, tf_config: str, *, echo: Callable[[str], None]) -> Machines:
    """Return the machines of `TF_CONFIG` once all of them are there; must come before any op of TensorFlow.

    Args:
        config: the settings.
        tf_config: what the variable holds; empty where it is not set.
        echo: takes a line while others are waited for.

    Raises:
        UsageError: `TF_CONFIG` or the settings cannot be used, or several GPUs are visible.
        ResourceError: the address is taken or is not this machine's.
    """
    place = read_tf_config(tf_config)
    if place is None:
        return ALONE
    check_machines(config, len(place.addresses))
    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus > 1:
        raise UsageError(
            f"TF_CONFIG and {gpus} GPUs: a process trains on one; start one for each, with its own address in "
            "TF_CONFIG, and give each its GPU by CUDA_VISIBLE_DEVICES"
        )
    here = place.addresses[place.number]
    echo(f"machine {place.number} of {len(place.addresses)} at {here}, waiting for the others")
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ResourceError(f"TF_CONFIG: no start at {here} ({reason}); is it this machine's, and free?") from None
    if place.number != 0:
        echo("machine 0 writes the run folder and tells how far it is")
    return Machines(count=len(place.addresses), number=place.number, strategy=strategy)
