"""What resampling the second session costs: errors of its image near lesions, and of its masks.

    python benchmarks/resampling_error.py

Prints three tables for docs/registration.md. The motion is the true one, so that all of the error is the
interpolation's and the noise's. Images are the synthetic head of registration_error.py, compared with the same head
sampled without noise on the fixed grid; masks are spheres, compared with the sphere itself.
"""

import argparse
import platform
from collections.abc import Callable

import numpy as np
import SimpleITK as sitk
from registration_error import (
    LESIONS_MM,
    SPACING_MM,
    head_session,
    head_signal,
    random_motion,
    transform_points,
    voxel_centres,
)

import tfdrift
from tfdrift.imaging.intensity import distance_mm
from tfdrift.imaging.resampling import resample_image, resample_mask

NOISES = (0.0, 2.0, 4.0, 8.0, 12.0)
RIM_MM = 3.0
SPHERE_GRIDS = (((72, 72, 24), (1.0, 1.0, 3.0)), ((84, 84, 12), (0.86, 0.86, 6.5)))
RADII_MM = (3.0, 9.0)
SMALL_MM = 5.0


def image_errors(motions: int) -> None:
    """Print mean |resampled - true| within `RIM_MM` of the lesions of the second visit, in % of the brain's signal."""
    fixed = head_session(sitk.Euler3DTransform(), second_visit=False, seed=1000)
    points_mm = voxel_centres(fixed)
    true = head_signal(points_mm, second_visit=True)
    near = np.zeros(true.shape, dtype=bool)
    for centre, _, radius in LESIONS_MM:
        near |= np.linalg.norm(points_mm - centre, axis=-1) < radius + RIM_MM
    print(f"voxel {' x '.join(map(str, SPACING_MM))} mm; {near.sum()} voxels; {motions} motions")
    print("| noise, % | " + " | ".join(f"{noise:g}" for noise in NOISES) + " |\n|---" + "|---" * len(NOISES) + "|")
    errors = {"linear": np.zeros(len(NOISES)), "bspline": np.zeros(len(NOISES))}
    for column, noise in enumerate(NOISES):
        for seed in range(motions):
            motion = random_motion(seed)
            moving = head_session(motion, second_visit=True, seed=seed, noise=noise)
            for interpolation, row in errors.items():
                onto = resample_image(moving, fixed, motion.GetInverse(), interpolation=interpolation)
                row[column] += np.abs(sitk.GetArrayFromImage(onto) - true)[near].mean() / motions
    for interpolation, row in errors.items():
        print(f"| {interpolation} | " + " | ".join(f"{error:.1f}" for error in row) + " |")


def cut_at_half(mask: sitk.Image, fixed: sitk.Image, transform: sitk.Transform) -> sitk.Image:
    """Return `mask` on the grid of `fixed`, interpolated linearly and cut at one half."""
    return sitk.Resample(sitk.Cast(mask > 0, sitk.sitkFloat32), fixed, transform, sitk.sitkLinear, 0.0) >= 0.5


def nearest_neighbour(mask: sitk.Image, fixed: sitk.Image, transform: sitk.Transform) -> sitk.Image:
    """Return `mask` on the grid of `fixed`, each voxel that of the nearest centre."""
    return sitk.Resample(mask, fixed, transform, sitk.sitkNearestNeighbor, 0)


def signed_distance(mask: sitk.Image, fixed: sitk.Image, transform: sitk.Transform) -> sitk.Image:
    """Return `mask` on the grid of `fixed`: distance to its voxels less distance to the others, cut at 0."""
    outside, inside = (sitk.Clamp(distance_mm(side), sitk.sitkFloat32, 0.0, 1e3) for side in (mask, mask == 0))
    return sitk.Resample(outside - inside, fixed, transform, sitk.sitkLinear, 1e3) <= 0


METHODS: dict[str, Callable[[sitk.Image, sitk.Image, sitk.Transform], sitk.Image]] = {
    "linear, as `resample_mask`": resample_mask,
    "linear, cut at 0.5": cut_at_half,
    "nearest neighbour": nearest_neighbour,
    "signed distance, cut at 0": signed_distance,
}
NOT_RESAMPLED = "not resampled"


def mask_errors(spheres: int, size_voxels: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> None:
    """Print Dice, error of the centroid and of the volume of resampled spheres against the spheres themselves.

    Args:
        spheres: how many.
        size_voxels: of the grid of both sessions.
        spacing_mm: of that grid.
    """
    fixed = sitk.Image(size_voxels, sitk.sitkUInt8)
    fixed.SetSpacing(spacing_mm)
    middle = fixed.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in size_voxels])
    fixed.SetOrigin([-value for value in middle])
    points_mm = voxel_centres(fixed)
    rng = np.random.default_rng(3)
    radii_mm = rng.uniform(*RADII_MM, spheres)
    figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in (*METHODS, NOT_RESAMPLED)}
    for seed, radius_mm in enumerate(radii_mm):
        motion, centre_mm = random_motion(seed), rng.uniform(-0.5, 0.5, 3) * spacing_mm
        moved_mm, still_mm = transform_points(motion, points_mm) - centre_mm, points_mm - centre_mm
        inside = np.linalg.norm(moved_mm, axis=-1) < radius_mm
        mask = sitk.GetImageFromArray(inside.astype(np.uint8))
        mask.CopyInformation(fixed)
        figures[NOT_RESAMPLED].append(sphere_errors(inside, moved_mm, radius_mm, spacing_mm))
        for name, method in METHODS.items():
            found = sitk.GetArrayFromImage(method(mask, fixed, motion.GetInverse())) > 0
            figures[name].append(sphere_errors(found, still_mm, radius_mm, spacing_mm))
    small = radii_mm < SMALL_MM
    low, high = RADII_MM
    print(f"{spheres} spheres of {low:g} to {high:g} mm, {small.sum()} of them below {SMALL_MM:g} mm; "
          f"voxel {' x '.join(map(str, spacing_mm))} mm; mean ± standard deviation")  # fmt: skip
    print(f"| | Dice | centroid off, mm | volume, % | volume below {SMALL_MM:g} mm, % |\n|---|---|---|---|---|")
    for name, values in figures.items():
        dice, off_mm, percent = np.transpose(values)
        print(f"| {name} | {dice.mean():.3f} | {np.nanmean(off_mm):.2f} "
              f"| {percent.mean():+.1f} ± {percent.std(ddof=1):.1f} "
              f"| {percent[small].mean():+.1f} ± {percent[small].std(ddof=1):.1f} |")  # fmt: skip


def sphere_errors(
    found: np.ndarray, points_mm: np.ndarray, radius_mm: float, spacing_mm: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Return Dice, error of the centroid in mm (NaN where nothing was found) and error of the volume in per cent.

    Args:
        found: bool [slices, rows, columns].
        points_mm: float64 [slices, rows, columns, 3], the voxels' centres, seen from the sphere's.
        radius_mm: of the sphere.
        spacing_mm: of the voxels.
    """
    true = np.linalg.norm(points_mm, axis=-1) < radius_mm
    volume_mm3 = found.sum() * np.prod(spacing_mm)
    return (
        2 * (found & true).sum() / (found.sum() + true.sum()),
        float(np.linalg.norm(points_mm[found].mean(axis=0))) if found.any() else np.nan,
        100 * (volume_mm3 / (4 / 3 * np.pi * radius_mm**3) - 1),
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", type=int, default=20, help="of the head, for each noise")
    parser.add_argument("--spheres", type=int, default=100)
    given = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    print(f"tfdrift {tfdrift.__version__}, SimpleITK {sitk.Version.VersionString()}, numpy {np.__version__}, "
          f"Python {platform.python_version()}")  # fmt: skip
    for size_voxels, spacing_mm in SPHERE_GRIDS:
        mask_errors(given.spheres, size_voxels, spacing_mm)
    image_errors(given.motions)


if __name__ == "__main__":
    main()
