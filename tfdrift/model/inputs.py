"""What a network is given: images of some channels and slices, a time, and conditions."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfdrift.model.conditions import NO_CONDITIONS, Conditions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """The inputs of a network beside the time, as the data of its run decide them.

    Args:
        channels: C of an image.
        names: of the C channels, where there are several; empty where nobody said.
        slices: D of an image; None for images of one slice.
        conditions: numbers and classes of context.
    """

    channels: int = 1
    names: tuple[str, ...] = ()
    slices: int | None = None
    conditions: Conditions = dataclasses.field(default_factory=Conditions)

    def image_shape(self, image_size: int) -> tuple[int, ...]:
        """Return the shape of an image.

        Args:
            image_size: side S in pixels.

        Example:
            >>> Inputs().image_shape(32), Inputs(slices=8, channels=2).image_shape(32)
            ((32, 32, 1), (8, 32, 32, 2))
        """
        side = (image_size, image_size, self.channels)
        return side if self.slices is None else (self.slices, *side)

    def as_document(self) -> dict[str, Any]:
        """Return what `config.json` holds of it, JSON values: what differs from one plain image."""
        given = dataclasses.asdict(self)
        given["conditions"] = _unlike(given["conditions"], dataclasses.asdict(NO_CONDITIONS))
        return _unlike(given, {**dataclasses.asdict(Inputs()), "conditions": {}})


ONE_IMAGE = Inputs()


def read_inputs(document: Mapping[str, Any]) -> Inputs:
    """Return the inverse of `Inputs.as_document`.

    Args:
        document: JSON values; empty for runs of versions that knew of nothing but one plain image.

    Example:
        >>> read_inputs(Inputs(channels=2).as_document()) == Inputs(channels=2)
        True
    """
    given = dict(document)
    conditions = {name: tuple(values) for name, values in given.pop("conditions", {}).items()}
    if "classes" in conditions:
        conditions["classes"] = tuple(tuple(seen) for seen in conditions["classes"])
    names = tuple(given.pop("names", ()))
    return Inputs(**given, names=names, conditions=Conditions(**conditions))


def _unlike(given: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value != plain[name]}
