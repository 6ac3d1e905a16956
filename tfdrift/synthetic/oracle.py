"""What can be attained: outcomes as one draws them who knows the law and all that is visible, but not the chance."""

import dataclasses
import itertools
from collections.abc import Collection, Sequence

import numpy as np

from tfdrift.axes import first_channel
from tfdrift.cohort.crop import SLICE
from tfdrift.errors import UsageError
from tfdrift.synthetic.law import Chance, Lesion
from tfdrift.synthetic.new_patients import NewPatients
from tfdrift.synthetic.phantom import draw_bias, make_cohort
from tfdrift.synthetic.phantom_samples import PHANTOM_SEED, USUAL_PAIR, Patch, sessions_rng


@dataclasses.dataclass(frozen=True)
class AttainableSkill:
    """The skill over copy of the best predictor there can be, with its Monte Carlo standard error."""

    value: float
    standard_error: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Oracle:
    """What may follow the first MRIs of a cohort: the n slices of `phantom_samples`, or those of some patients.

    Args:
        pre: float32 [n, ..., S, S, C], the first MRIs themselves.
        post: float32 [N, n, ..., S, S, 1], N outcomes of each: the law's chance, the second session's bias field and
            noise drawn anew.
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
        before = first_channel(self.pre).astype(np.float64)
        errors, changes = np.zeros(4), np.zeros(4)
        for part, rows in enumerate(np.array_split(np.arange(len(self.post)), 4)):
            after = self.post[rows].astype(np.float64)
            errors[part] = after.var(axis=0, ddof=1).sum()
            changes[part] = np.mean((after - before) ** 2, axis=0).sum()
        skills = 1 - errors / changes
        return AttainableSkill(
            value=float(1 - errors.sum() / changes.sum()), standard_error=float(skills.std(ddof=1) / 2)
        )


def foreseen_volumes(new: NewPatients, day: int, *, draws: int = 32) -> np.ndarray:
    """Return what volumes one foresees who knows the law and not the chance.

    Args:
        new: whose lesions.
        day: of the second MRI.
        draws: N, outcomes of each lesion.

    Returns:
        float64 [N, m], ratios to the volume at the first MRI, of lesions in the order of their names.

    Example:
        >>> foreseen_volumes(NewPatients(patients=2, data_seed=7), 60, draws=8).shape
        (8, 2)
    """
    ratios = []
    for patient in make_cohort(new.patients, seed=new.data_seed, law=new.law):
        for number, one in enumerate(patient.lesions):
            others = _others(one.between(new.since, day), new, patient.number, number, draws)
            ratios.append([other.volume_mm3("post") / other.volume_mm3("pre") for other in others])
    return np.array(ratios).T


def foreseen_volumes_told(new: NewPatients, day: int, *, draws: int = 32) -> np.ndarray:
    """Return what volumes one foresees who knows the law, and how each lesion has changed until a later first MRI.

    What is drawn without that knowledge is moved along the straight line of the logarithms of later against earlier
    ratios, to the earlier ratio that is true.

    Args:
        new: whose lesions; their first MRIs are after treatment has begun.
        day: of the second MRI.
        draws: N, outcomes of each lesion, at least 8.

    Returns:
        float64 [N, m], see `foreseen_volumes`.

    Raises:
        UsageError: the first MRIs are before treatment, when nothing has changed.

    Source: Beaumont, Zhang and Balding (2002), "Approximate Bayesian computation in population genetics", for the line.

    Example:
        >>> foreseen_volumes_told(NewPatients(patients=2, data_seed=7, since=21, days=(60,)), 60, draws=8).shape
        (8, 2)
    """
    if new.since == 0:
        raise UsageError("first MRIs on day 0: nothing has changed before them; ask about later ones")
    ratios = []
    for patient in make_cohort(new.patients, seed=new.data_seed, law=new.law):
        for number, one in enumerate(patient.lesions):
            earlier, later = one.between(0, new.since), one.between(new.since, day)
            others = _others(later, new, patient.number, number, draws)
            untreated = earlier.volume_mm3("pre")
            before = np.log([other.volume_mm3("pre") / untreated for other in others])
            after = np.log([other.volume_mm3("post") / other.volume_mm3("pre") for other in others])
            apart = before - before.mean()
            slope = np.sum(apart * after) / np.sum(apart**2) if np.ptp(before) > 0 else 0.0
            ratios.append(np.exp(after + slope * (np.log(earlier.volume_mm3("post") / untreated) - before)))
    return np.array(ratios).T


def _others(lesion: Lesion, new: NewPatients, patient: int, number: int, draws: int) -> list[Lesion]:
    rng = np.random.default_rng([new.data_seed, 9, patient, number])
    return [dataclasses.replace(lesion, chance=Chance.draw(rng)) for _ in range(draws)]


def ask_oracle(
    *,
    image_size: int = 32,
    patients: int = 39,
    draws: int = 32,
    seed: int = PHANTOM_SEED,
    law: str = "response",
    draw_seed: int = 0,
    among: Collection[str] | None = None,
    pairs: Sequence[tuple[int, int]] = (USUAL_PAIR,),
    lesion_as: str = SLICE,
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
        pairs: days of the two MRIs. The first is before treatment: a later one shows some of what is chance here.
        lesion_as: in `tfdrift.cohort.crop.LESIONS`.

    Raises:
        UsageError: fewer than 8 draws, a first MRI after treatment, or `among` names nobody of the cohort.

    Example:
        >>> oracle = ask_oracle(image_size=16, patients=2, draws=8)
        >>> oracle.pre.shape, oracle.post.shape
        ((6, 16, 16, 1), (8, 6, 16, 16, 1))
    """
    if draws < 8:
        raise UsageError(f"{draws} draws: 8 or more are needed, two in each quarter, for an error estimate")
    if any(first != 0 for first, _ in pairs):
        raise UsageError("the oracle draws what follows the first MRI of all; ask about pairs that begin on day 0")
    cohort = make_cohort(patients, seed=seed, law=law)
    asked = [patient for patient in cohort if among is None or patient.name in among]
    if not asked:
        raise UsageError(f"none of the {patients} patients is among those to score; names are like phantom000")
    pre, post = [], []
    for patient in asked:
        for number, pair in itertools.product(range(len(patient.lesions)), pairs):
            lesion = patient.lesions[number].between(*pair)
            patch = Patch(patient, lesion, lesion_as=lesion_as)
            first = patch.noisy("pre", lesion, sessions_rng(seed, patient, number, pair))
            of_pair = () if pair == USUAL_PAIR else pair
            rng = np.random.default_rng([seed, 4, patient.number, number, draw_seed, *of_pair])
            crops = []
            for _ in range(draws):
                other = dataclasses.replace(lesion, chance=Chance.draw(rng))
                bias = draw_bias(rng)
                crops.append(patch.crop(other, image_size=image_size, rng=rng, pre=first, post_bias=bias))
            pre.append(crops[0]["pre"])
            post.append(np.stack([crop["post"] for crop in crops]))
    return Oracle(pre=np.concatenate(pre), post=np.concatenate(post, axis=1))
