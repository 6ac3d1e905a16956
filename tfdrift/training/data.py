"""The data that a run names: a built-in source, or the folder of a cohort."""

from collections.abc import Sequence
from pathlib import Path

from tfdrift.cohort.crop import CONTEXT, SLICE, VOLUME
from tfdrift.cohort.samples import Samples
from tfdrift.cohort.store import read_cohort
from tfdrift.errors import DataError, UsageError
from tfdrift.model.channels import has_neighbours
from tfdrift.synthetic.digits import digit_samples
from tfdrift.synthetic.phantom_samples import PHANTOM_SEED, USUAL_PAIR, every_two, phantom_samples


def load_samples(
    data: str,
    *,
    image_size: int,
    mnist_file: str | None = None,
    mnist_change: str = "mix",
    law: str = "response",
    patients: int = 39,
    visit_days: Sequence[int] = (),
    lesion: str = SLICE,
) -> Samples:
    """Return the samples that `--data` names.

    Args:
        data: `phantom`, `mnist`, or the folder of a cohort.
        image_size: side S of the crops in pixels.
        mnist_file: a file in the layout of Keras' own mnist.npz; without it Keras' loader is asked.
        mnist_change: `mix`, `grow` or `shrink`.
        law: by which the phantom's lesions respond, in `tfdrift.synthetic.laws.NAMES`.
        patients: how many the phantom has.
        visit_days: days of the phantom's MRIs after the first, each two a pair; by default one, that of the paper.
        lesion: what a crop is, in `tfdrift.cohort.crop.LESIONS`; a cohort has its own, which `slice` accepts as it is.

    Raises:
        DataError: it is none of these, the data cannot be had, or a cohort's files are missing, cut or altered.
        UsageError: the cohort has crops of another size, or of another kind than is asked for; the message names it.
    """
    if data == "phantom":
        pairs = every_two(visit_days) if visit_days else [USUAL_PAIR]
        return phantom_samples(
            image_size=image_size, seed=PHANTOM_SEED, law=law, patients=patients, pairs=pairs, lesion_as=lesion
        )
    if data == "mnist":
        file = Path(mnist_file) if mnist_file else None
        return digit_samples(image_size=image_size, change=mnist_change, mnist_file=file)
    if not Path(data).exists():
        raise DataError(f"--data {data}: choose phantom, mnist or a folder that `tfdrift cohort import` wrote")
    samples = read_cohort(Path(data), image_size)
    if lesion not in (SLICE, lesion_of(samples)):
        raise UsageError(
            f"--lesion {lesion}: the crops of this cohort are of the kind {lesion_of(samples)}; leave it out, or "
            f"import again with --lesion {lesion}"
        )
    return samples


def lesion_of(samples: Samples) -> str:
    """Return what the crops of samples are, in `tfdrift.cohort.crop.LESIONS`."""
    if samples.pre.ndim > 4:
        return VOLUME
    return CONTEXT if has_neighbours(samples.channels) else SLICE
