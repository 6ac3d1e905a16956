"""Which figure tells a wrong registration from a right one, and at which limit: hits and false alarms.

    TFDRIFT_TEST_DATA=FOLDER python benchmarks/registration_doubt.py      real pairs and synthetic heads
    python benchmarks/registration_doubt.py --synthetic                   synthetic heads alone

Prints the tables of docs/registration.md. Real are the pairs in FOLDER/longitudinal (or in ../shared/data beside the
checkout): each is registered by `register_rigid`, and all seven results were looked at and found right. Of the
synthetic heads of `registration_error.py` the true motion is known. From its right place each pair is then shifted
along and turned about the three axes, either way, and each candidate is asked again.
"""

import argparse
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import registration_error as heads
import SimpleITK as sitk

import tfdrift
from tfdrift.imaging.intensity import distance_mm, session_gain, tissue_mask
from tfdrift.imaging.registration import register_rigid
from tfdrift.imaging.resampling import coarser, coverage, resample_image
from tfdrift.imaging.residual import POOR_RESIDUAL_PERCENT, RIM_MM, residual_percent

OFFSETS = ((3.0, "mm"), (5.0, "mm"), (10.0, "mm"), (20.0, "mm"), (5.0, "degrees"), (10.0, "degrees"), (20.0, "degrees"))
NOISE_AND_BIAS = ((4.0, 0.0), (4.0, 0.2), (8.0, 0.0), (12.0, 0.0))
BINS = 32
Pair = tuple[str, sitk.Image, sitk.Image, sitk.Transform]


def real_pairs(folder: Path) -> Iterator[Pair]:
    """Yield name, first session, second session and the transform that `register_rigid` finds, of each real pair."""
    for case in sorted(folder.glob("*/pre_image.nii.gz")):
        fixed, moving = (
            sitk.ReadImage(str(case.with_name(f"{visit}_image.nii.gz")), sitk.sitkFloat32) for visit in ("pre", "post")
        )
        yield case.parent.name, fixed, moving, register_rigid(fixed, moving).transform


def synthetic_pairs() -> Iterator[Pair]:
    """Yield the same of synthetic heads under several noises and bias fields, with the true transform."""
    for seed, (noise, bias) in enumerate(NOISE_AND_BIAS):
        motion = heads.random_motion(seed)
        fixed = heads.head_session(sitk.Euler3DTransform(), second_visit=False, seed=1000 + seed, noise=noise)
        moving = heads.head_session(motion, second_visit=True, seed=seed, gain=1.7, noise=noise, bias=bias)
        yield f"synthetic, noise {noise:g}%, bias {bias:g}", fixed, moving, motion.GetInverse()


def difference(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> float:
    """Return the mean |gain x second - first| over the head in per cent of the brain's signal."""
    first, second = _heads(fixed, moving, transform)
    return float(100 * np.abs(second - first).mean())


def uncorrelated(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> float:
    """Return 1 - r^2 over the whole head at once, in per cent: one straight line for all of it."""
    return float(100 * (1 - np.corrcoef(*_heads(fixed, moving, transform))[0, 1] ** 2))


def uninformed(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> float:
    """Return 1 - 2 I / (H1 + H2) over the head in per cent, I the mutual information, H the two entropies."""
    first, second = _heads(fixed, moving, transform)
    limits = [np.quantile(values, (0.005, 0.995)) for values in (first, second)]
    counts, *_ = np.histogram2d(first.clip(*limits[0]), second.clip(*limits[1]), bins=BINS)
    share = counts / counts.sum()
    entropies = [-(part[part > 0] * np.log(part[part > 0])).sum() for part in (share.sum(0), share.sum(1), share)]
    return float(100 * (1 - 2 * (entropies[0] + entropies[1] - entropies[2]) / (entropies[0] + entropies[1])))


CANDIDATES: dict[str, Callable[[sitk.Image, sitk.Image, sitk.Transform], float]] = {
    "difference, % of the signal": difference,
    "1 - r^2 of the head, %": uncorrelated,
    "1 - normalised mutual information, %": uninformed,
    "1 - r^2 in windows, % (`residual_percent`)": residual_percent,
}


def _heads(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> tuple[np.ndarray, np.ndarray]:
    """Return both sessions' signals in the head in units of the brain's signal, voxels of at least 2 mm."""
    first, second = coarser(fixed, 2.0), coarser(moving, 2.0)
    onto, seen = resample_image(second, first, transform, interpolation="linear"), coverage(second, first, transform)
    tissue = tissue_mask(first)
    gain = session_gain(first, onto, sitk.And(tissue, seen)).gain
    near = sitk.And(distance_mm(tissue) <= RIM_MM, seen)
    head, brain = (sitk.GetArrayFromImage(mask) > 0 for mask in (near, tissue))
    values, others = sitk.GetArrayFromImage(first), gain * sitk.GetArrayFromImage(onto)
    level = np.median(values[brain])
    return values[head] / level, others[head] / level


def moved(size: float, unit: str, fixed: sitk.Image) -> Iterator[sitk.Euler3DTransform]:
    """Yield the six motions of one size: along or about each axis through the image's middle, either way."""
    middle = fixed.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in fixed.GetSize()])
    for signed in np.vstack([np.eye(3), -np.eye(3)]) * size:
        angles, shift_mm = (np.radians(signed), np.zeros(3)) if unit == "degrees" else (np.zeros(3), signed)
        yield sitk.Euler3DTransform(middle, *angles.tolist(), shift_mm.tolist())


def print_tables(pairs: list[Pair]) -> None:
    """Print each pair's figures where it is right, and for each candidate and offset the hits and the separation."""
    right = {name: [measure(*pair[1:]) for pair in pairs] for name, measure in CANDIDATES.items()}
    print("| pair, in its right place | " + " | ".join(CANDIDATES) + " |\n|---" + "|---" * len(CANDIDATES) + "|")
    for place, pair in enumerate(pairs):
        print(f"| {pair[0]} | " + " | ".join(f"{right[name][place]:.1f}" for name in CANDIDATES) + " |")
    for kind, chosen in (
        ("real", [k for k, pair in enumerate(pairs) if not pair[0].startswith("synthetic")]),
        ("synthetic", [k for k, pair in enumerate(pairs) if pair[0].startswith("synthetic")]),
    ):
        if chosen:
            print_hits(kind, [pairs[k] for k in chosen], right)


def print_hits(kind: str, pairs: list[Pair], right: dict[str, list[float]]) -> None:
    """Print the share of moved pairs above the limit, and the least figure among them.

    Args:
        kind: what the pairs are.
        pairs: of that kind.
        right: of each candidate the figures of all pairs of both kinds in their right places; the limit of a candidate
            that has none is the largest of them, so that none of it is a false alarm.
    """
    print(f"\n| {kind}, moved by | " + " | ".join(f"{size:g} {unit}" for size, unit in OFFSETS) + " |")
    print("|---" * (len(OFFSETS) + 1) + "|")
    for name, measure in CANDIDATES.items():
        limit = POOR_RESIDUAL_PERCENT if measure is residual_percent else max(right[name])
        cells = []
        for size, unit in OFFSETS:
            figures = [
                measure(fixed, moving, sitk.CompositeTransform([transform, off]))  # the last one is applied first
                for _, fixed, moving, transform in pairs
                for off in moved(size, unit, fixed)
            ]
            hits = sum(figure > limit for figure in figures)
            cells.append(f"{hits} of {len(figures)} (least {min(figures):.1f})")
        print(f"| {name}, above {limit:.1f} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Print what was asked for, and under which conditions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synthetic", action="store_true", help="leave out the real pairs")
    given = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    print(f"tfdrift {tfdrift.__version__}, SimpleITK {sitk.Version.VersionString()}, numpy {np.__version__}, "
          f"Python {platform.python_version()}, {platform.machine()} {platform.system()}, one thread\n")  # fmt: skip
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("TFDRIFT_TEST_DATA", beside)) / "longitudinal"
    real = [] if given.synthetic else list(real_pairs(folder))
    if not real:
        print("no real pairs: synthetic heads alone\n")
    print_tables([*real, *synthetic_pairs()])


if __name__ == "__main__":
    main()
