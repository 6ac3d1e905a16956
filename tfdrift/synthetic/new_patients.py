"""Patients of the phantom that were drawn after a run was trained: as many held-out patients as one asks for."""

import dataclasses
import itertools

import numpy as np

from tfdrift.cohort.crop import SLICE
from tfdrift.cohort.samples import Samples
from tfdrift.errors import UsageError
from tfdrift.synthetic.law import Chance
from tfdrift.synthetic.laws import NAMES
from tfdrift.synthetic.phantom import make_cohort
from tfdrift.synthetic.phantom_samples import USUAL_PAIR, Patch, phantom_samples


@dataclasses.dataclass(frozen=True, kw_only=True)
class NewPatients:
    """Which patients of the phantom are drawn.

    Args:
        patients: how many, 2 or more.
        data_seed: of everything about them, 0 or more.
        law: by which their lesions respond, in `tfdrift.synthetic.laws.NAMES`.
        days: of the second MRIs, after the first; each is a pair with the first.
        since: day of the first MRIs; where it is after 0, the change since then is known (`tfdrift.cohort.earlier`).
        lesion: what a crop is, in `tfdrift.cohort.crop.LESIONS`.

    Raises:
        UsageError: fewer patients, a negative seed, no such law, or a day that is not after the first MRI.
    """

    patients: int = 150
    data_seed: int = 4242
    law: str = "response"
    days: tuple[int, ...] = USUAL_PAIR[1:]
    lesion: str = SLICE
    since: int = 0

    def __post_init__(self) -> None:
        if self.patients < 2:
            raise UsageError(f"--patients {self.patients}: must be 2 or more")
        if self.data_seed < 0:
            raise UsageError(f"--data-seed {self.data_seed}: must be 0 or more")
        if self.law not in NAMES:
            raise UsageError(f"--law {self.law}: choose from {', '.join(NAMES)}")
        if self.since < 0:
            raise UsageError(f"first MRIs on day {self.since}: give 0 or later")
        if not self.days or min(self.days) <= self.since:
            raise UsageError(
                f"second MRIs on days {list(self.days)}: give days after the first, {self.since + 1} or later"
            )

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Days of the two MRIs of each pair."""
        return [(self.since, day) for day in self.days]

    def draw(self, image_size: int) -> Samples:
        """Return the patients as samples, one group; their names hold the seed, so that they are nobody else's.

        Args:
            image_size: side S of the crops in pixels.

        Example:
            >>> samples = NewPatients(patients=2, data_seed=7).draw(16)
            >>> sorted(set(samples.patient.tolist()))
            ['seed7-phantom000', 'seed7-phantom001']
        """
        # Folds of a phantom are two or more, and here nobody is trained on.
        drawn = phantom_samples(
            image_size=image_size,
            patients=self.patients,
            folds=2,
            seed=self.data_seed,
            law=self.law,
            pairs=self.pairs,
            lesion_as=self.lesion,
        )
        names = {name: np.char.add(f"seed{self.data_seed}-", getattr(drawn, name)) for name in ("patient", "lesion")}
        return dataclasses.replace(drawn, fold=np.zeros_like(drawn.fold), **names)

    def ratios_at_dose(self, factor: float) -> np.ndarray:
        """Return what would be left of each lesion at another dose: its volume at the second MRI over that before.

        Everything else about it is as it was, its chance included. Only the law `dose` asks for the dose.

        Args:
            factor: of the dose that it was given, 0 or more.

        Returns:
            float64 [m], of the pairs of every lesion in the order of `draw`.

        Example:
            >>> new = NewPatients(patients=2, data_seed=7, law="dose")
            >>> bool((new.ratios_at_dose(1.2) < new.ratios_at_dose(1.0)).all())
            True
        """
        lesions = [
            lesion.between(*pair).at_dose(factor)
            for patient in make_cohort(self.patients, seed=self.data_seed, law=self.law)
            for lesion, pair in itertools.product(patient.lesions, self.pairs)
        ]
        return np.array([lesion.volume_mm3("post") / lesion.volume_mm3("pre") for lesion in lesions])

    def movement(self, image_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return how far tissue moves until the second MRI: truly, and as far as the law and what is visible tell.

        Args:
            image_size: side S of the crops in pixels.

        Returns:
            Both float32 [n, ..., S, S, 2], in mm along rows and columns, at places of the first MRI; rows as in `draw`.

        Example:
            >>> true, foreseeable = NewPatients(patients=2, data_seed=7).movement(16)
            >>> true.shape == foreseeable.shape == (*NewPatients(patients=2, data_seed=7).draw(16).pre.shape[:3], 2)
            True
        """
        true, foreseeable = [], []
        for patient in make_cohort(self.patients, seed=self.data_seed, law=self.law):
            for one, pair in itertools.product(patient.lesions, self.pairs):
                lesion = one.between(*pair)
                patch = Patch(patient, lesion, lesion_as=self.lesion)
                true.append(patch.movement(lesion, image_size))
                middle = dataclasses.replace(lesion, chance=Chance.none())
                foreseeable.append(patch.movement(middle, image_size))
        return np.concatenate(true), np.concatenate(foreseeable)
