"""What can be attained: outcomes as one draws them who knows the law and all that is visible, but not the chance."""

import dataclasses
from collections.abc import Collection

import numpy as np

from tfdrift.errors import UsageError
from tfdrift.synthetic.law import Chance
from tfdrift.synthetic.phantom import draw_bias, make_cohort
from tfdrift.synthetic.phantom_samples import PHANTOM_SEED, Patch, sessions_rng


@dataclasses.dataclass(frozen=True)
class AttainableSkill:
    """The skill over copy of the best predictor there can be, with its Monte Carlo standard error."""

    value: float
    standard_error: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Oracle:
    """What may follow the first MRIs of a cohort: the n slices of `phantom_samples`, or those of some patients.

    Args:
        pre: float32 [n, S, S, 1], the first MRIs themselves.
        post: float32 [N, n, S, S, 1], N outcomes of each: the law's chance, the second session's bias field and noise
            drawn anew.
    """

    pre: np.ndarray
    post: np.ndarray

    @property
    def attainable(self) -> AttainableSkill:
        """The skill over copy of the mean of infinitely many outcomes.

        The best prediction under the mean squared error is the mean of what may happen, and its error the variance
        (with N - 1), so the skill is 1 - sum of variances / sum of mean squared changes. It is the expectation over
        outcomes, so the one outcome that the cohort holds can be predicted a little better or worse. The standard
        error comes from four independent quarters of the outcomes.

        Source: the mean minimises the expected squared error; Murphy (1988), eq. 4, for the skill.
        """
        before = self.pre.astype(np.float64)
        errors, changes = np.zeros(4), np.zeros(4)
        for part, rows in enumerate(np.array_split(np.arange(len(self.post)), 4)):
            after = self.post[rows].astype(np.float64)
            errors[part] = after.var(axis=0, ddof=1).sum()
            changes[part] = np.mean((after - before) ** 2, axis=0).sum()
        skills = 1 - errors / changes
        return AttainableSkill(
            value=float(1 - errors.sum() / changes.sum()), standard_error=float(skills.std(ddof=1) / 2)
        )


def ask_oracle(
    *,
    image_size: int = 32,
    patients: int = 39,
    draws: int = 32,
    seed: int = PHANTOM_SEED,
    law: str = "response",
    draw_seed: int = 0,
    among: Collection[str] | None = None,
) -> Oracle:
    """Draw outcomes of each slice of a cohort from its law.

    Args:
        image_size: S.
        patients: how many.
        draws: N, outcomes of each lesion, at least 8.
        seed: of the cohort; the outcomes drawn here are others than the cohort's own.
        law: in `tfdrift.synthetic.laws.NAMES`. Of `mixed` it is known which law a patient has.
        draw_seed: of the outcomes.
        among: pseudonyms of the patients to ask about, those of a fold for example; by default all.

    Raises:
        UsageError: fewer than 8 draws, or `among` names nobody of the cohort.

    Example:
        >>> oracle = ask_oracle(image_size=16, patients=2, draws=8)
        >>> oracle.pre.shape, oracle.post.shape
        ((6, 16, 16, 1), (8, 6, 16, 16, 1))
    """
    if draws < 8:
        raise UsageError(f"{draws} draws: 8 or more are needed, two in each quarter, for an error estimate")
    cohort = make_cohort(patients, seed=seed, law=law)
    asked = [patient for patient in cohort if among is None or patient.name in among]
    if not asked:
        raise UsageError(f"none of the {patients} patients is among those to score; names are like phantom000")
    pre, post = [], []
    for patient in asked:
        for number, lesion in enumerate(patient.lesions):
            patch = Patch(patient, lesion)
            first = patch.noisy("pre", lesion, sessions_rng(seed, patient, number))
            rng = np.random.default_rng([seed, 4, patient.number, number, draw_seed])
            crops = []
            for _ in range(draws):
                other = dataclasses.replace(lesion, chance=Chance.draw(rng))
                bias = draw_bias(rng)
                crops.append(patch.crop(other, image_size=image_size, rng=rng, pre=first, post_bias=bias))
            pre.append(crops[0]["pre"])
            post.append(np.stack([crop["post"] for crop in crops]))
    return Oracle(pre=np.concatenate(pre), post=np.concatenate(post, axis=1))
