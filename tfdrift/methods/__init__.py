"""The methods that predict the second MRI, one file each.

method    what a method is, and a trained network with its method
method1   from the noised first MRI to the second in one step
method2   from the noised first MRI to a clean one by DDIM, and the drift beside it
direct    the baseline without noise
distribution  second MRIs drawn from latent noise, trained with a proper score
palette   second MRIs by diffusion from noise, given the clean first one
guidance  answers that lean further towards a class
balances  how the losses of the two outputs are weighed
outputs   what the reconstruction and the drift are, and how they agree
field     drift as movement, gain and residual
dressing  outcomes from errors that were learned
augmentation  how each slice is shown in training
symmetries  turned and mirrored images, in training and when a network is asked

`METHODS` is the only list of them. Nothing here imports TensorFlow before it is needed: the command line reads labels
and defaults.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfdrift.diffusion.schedule import make_schedule
from tfdrift.methods.direct import Direct
from tfdrift.methods.distribution import Distribution
from tfdrift.methods.method import Method
from tfdrift.methods.method1 import Method1
from tfdrift.methods.method2 import Method2
from tfdrift.methods.palette import Palette

METHODS: dict[str, type[Method]] = {
    "method1": Method1,
    "method2": Method2,
    "direct": Direct,
    "distribution": Distribution,
    "palette": Palette,
}
"""Every method by the name that the command line and `config.json` know it by."""


def make_method(name: str, settings: Mapping[str, Any]) -> Method:
    """Return a method with those of the settings that it has.

    Args:
        name: in `METHODS`.
        settings: fields of `tfdrift.config.TrainConfig`.

    Example:
        >>> noise = {"schedule": "linear", "levels": 4, "noise_level": 0.2, "estimate_level": 1}
        >>> make_method("method1", {**noise, "output": "images", "drift_form": "difference"}).levels()
        [3, 2, 1, 0]
    """
    schedule = make_schedule(settings["schedule"], levels=settings["levels"], noise_level=settings["noise_level"])
    fields = {field.name for field in dataclasses.fields(METHODS[name])} - {"schedule"}
    return METHODS[name](schedule=schedule, **{field: settings[field] for field in sorted(fields)})
