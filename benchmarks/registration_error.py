"""Errors and residuals of a registration over known motions of a synthetic head.

    python benchmarks/registration_error.py                               errors of `register_rigid`
    python benchmarks/registration_error.py --bias 0.2                    with a bias field in the second session
    python benchmarks/registration_error.py --motions 10 --no-shading     the search without its estimate of the shading
    python benchmarks/registration_error.py --motions 10 --relaxation 0.5 the search with another shrinking of its step
    python benchmarks/registration_error.py --motions 20 --off-by         residuals of poses away from the truth

Prints rows for the tables of docs/registration.md. The head is a sum of analytic functions of the position in mm, so
both sessions are sampled exactly and the moved one carries no interpolation of its own. The package has no switch for
`--no-shading` and `--relaxation`: they replace a function and a constant of `tfdrift.imaging.registration`.
"""

import argparse
import platform
import time
from unittest import mock

import numpy as np
import SimpleITK as sitk

import tfdrift
from tfdrift.errors import DataError
from tfdrift.imaging import registration

SIZE_VOXELS = (128, 160, 44)
SPACING_MM = (1.4, 1.3, 3.5)
BRAIN_RADII_MM = np.array([66.0, 82.0, 60.0])
OFF_BY_MM = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0)
OFF_BY_DEGREES = (5.0, 10.0, 20.0)
LESIONS_MM = (((28.0, -20.0, 12.0), 9.0, 6.0), ((-30.0, 30.0, -8.0), 5.0, 8.0), ((10.0, 45.0, 25.0), 3.5, 2.0))


def head_signal(points_mm: np.ndarray, *, second_visit: bool) -> np.ndarray:
    """Return the signal of the head at points of its own frame.

    Args:
        points_mm: float64 [..., 3], LPS, the origin in the middle of the brain.
        second_visit: lesions with the radius of the second visit, and no enhancement in their centre.

    Returns:
        float64 [...], about 100 in brain tissue.
    """
    radius = np.linalg.norm(points_mm / BRAIN_RADII_MM, axis=-1)
    inside = 1 / (1 + np.exp((radius - 1) * 40))
    skull = np.exp(-(((radius - 1.13) / 0.035) ** 2))
    rng = np.random.default_rng(7)
    texture = np.zeros(points_mm.shape[:-1])
    for wavelength_mm in (45.0, 30.0, 20.0, 14.0) * 6:
        wave = rng.normal(size=3)
        wave *= 2 * np.pi / wavelength_mm / np.linalg.norm(wave)
        texture += np.sin(points_mm @ wave + rng.uniform(0, 2 * np.pi))
    signal = 100 * inside * (1 + 0.06 * np.tanh(texture)) + 90 * skull
    for side in (-1, 1):
        ventricle = np.linalg.norm((points_mm - [side * 11, 2, 8]) / [6, 24, 11], axis=-1)
        signal -= 70 / (1 + np.exp((ventricle - 1) * 12))
    for centre, first_radius, second_radius in LESIONS_MM:
        away = np.linalg.norm(points_mm - centre, axis=-1)
        size = second_radius if second_visit else first_radius
        signal += 90 / (1 + np.exp((away - size) * 2))
        if second_visit:
            signal -= 60 / (1 + np.exp((away - 0.6 * size) * 2))
    return np.maximum(signal, 0)


def head_session(
    motion: sitk.Transform, *, second_visit: bool, seed: int, gain: float = 1.0, noise: float = 4.0, bias: float = 0.0
) -> sitk.Image:
    """Return one MRI of the head, float32, with Rician noise.

    Args:
        motion: maps points of the image to points of the head, in mm.
        second_visit: see `head_signal`.
        seed: of the noise.
        gain: factor on the signal, noise included.
        noise: standard deviation in units of the signal before the gain.
        bias: amplitude of a factor 1 + bias * sin(z / 40 mm) on the signal, noise included.
    """
    image = sitk.Image(SIZE_VOXELS, sitk.sitkFloat32)
    image.SetSpacing(SPACING_MM)
    middle = image.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in SIZE_VOXELS])
    image.SetOrigin([-value for value in middle])
    signal = head_signal(transform_points(motion, voxel_centres(image)), second_visit=second_visit)
    rng = np.random.default_rng(seed)
    signal = np.hypot(signal + rng.normal(0, noise, signal.shape), rng.normal(0, noise, signal.shape))
    field = 1 + bias * np.sin(voxel_centres(image)[..., 2] / 40)
    result = sitk.GetImageFromArray((gain * field * signal).astype(np.float32))
    result.CopyInformation(image)
    return result


def voxel_centres(image: sitk.Image) -> np.ndarray:
    """Return float64 [slices, rows, columns, 3], the centre of each voxel in mm, LPS."""
    index = np.stack(np.meshgrid(*[np.arange(size) for size in image.GetSize()[::-1]], indexing="ij"), axis=-1)[
        ..., ::-1
    ]
    matrix = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    return index @ matrix.T + image.GetOrigin()


def transform_points(transform: sitk.Transform, points_mm: np.ndarray) -> np.ndarray:
    """Return float64 [..., 3], the points mapped by a linear transform."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    columns = [np.array(transform.TransformPoint(axis)) - origin for axis in np.eye(3).tolist()]
    return points_mm @ np.array(columns) + origin


def random_motion(seed: int, *, degrees: float = 10.0, shift_mm: float = 15.0) -> sitk.Euler3DTransform:
    """Return a turn about a random axis and a shift in a random direction, both uniform in size up to the bounds."""
    rng = np.random.default_rng([seed, 1])
    axis, direction = rng.normal(size=(2, 3))
    return rigid_motion(axis, rng.uniform(0, degrees), direction, rng.uniform(0, shift_mm))


def rigid_motion(axis: np.ndarray, degrees: float, direction: np.ndarray, shift_mm: float) -> sitk.Euler3DTransform:
    """Return the turn by `degrees` about an axis through the origin, followed by the shift."""
    turn = sitk.VersorTransform((axis / np.linalg.norm(axis)).tolist(), np.radians(degrees))
    motion = sitk.Euler3DTransform()
    motion.SetMatrix(turn.GetMatrix())
    motion.SetTranslation((direction / np.linalg.norm(direction) * shift_mm).tolist())
    return motion


def target_error_mm(found: sitk.Transform, motion: sitk.Transform, fixed: sitk.Image) -> float:
    """Return the mean distance in mm, over the voxels of the brain, between where `found` and the truth send them.

    Args:
        found: maps points of the fixed image to points of the moving one.
        motion: maps points of the moving image to points of the head, which are the fixed image's.
        fixed: the first session, taken without motion.
    """
    points_mm = voxel_centres(fixed)
    brain = points_mm[np.linalg.norm(points_mm / BRAIN_RADII_MM, axis=-1) < 1]
    sent_mm = transform_points(found, brain)
    return float(np.linalg.norm(sent_mm - transform_points(motion.GetInverse(), brain), axis=-1).mean())


def register_motions(motions: int, *, bias: float, noise: float) -> None:
    """Print the distribution of the errors and residuals of `register_rigid`, and how many motions it refused."""
    fixed = head_session(sitk.Euler3DTransform(), second_visit=False, seed=1000, noise=noise)
    errors_mm, seconds, residuals, unconverged, refused = [], [], [], 0, 0
    for seed in range(motions):
        motion = random_motion(seed)
        moving = head_session(motion, second_visit=True, seed=seed, gain=1.7, bias=bias, noise=noise)
        started = time.perf_counter()
        try:
            found = registration.register_rigid(fixed, moving)
        except DataError:
            refused += 1
            continue
        seconds.append(time.perf_counter() - started)
        errors_mm.append(target_error_mm(found.transform, motion, fixed))
        residuals.append(found.residual_percent)
        unconverged += not found.converged
    print("| | min | median | 95% | max |\n|---|---|---|---|---|")
    for name, values, digits in (
        ("target registration error, mm", errors_mm, 3),
        ("residual, %", residuals, 2),
        ("time, s", seconds, 1),
    ):
        figures = np.min(values), np.median(values), np.quantile(values, 0.95), np.max(values)
        print(f"| {name} | " + " | ".join(f"{figure:.{digits}f}" for figure in figures) + " |")
    print(f"stopped at the bound on iterations: {unconverged}; refused: {refused}")


def move_off(motions: int, *, bias: float, noise: float) -> None:
    """Print the residuals of poses off the truth, by a shift in a random direction or a turn about one.

    The first column of figures is the mean target registration error of those poses.
    """
    fixed = head_session(sitk.Euler3DTransform(), second_visit=False, seed=1000, noise=noise)
    offsets = [(size, "mm") for size in OFF_BY_MM] + [(size, "degrees") for size in OFF_BY_DEGREES]
    errors_mm: dict[tuple[float, str], list[float]] = {offset: [] for offset in offsets}
    residuals: dict[tuple[float, str], list[float]] = {offset: [] for offset in offsets}
    for seed in range(motions):
        motion, direction = random_motion(seed), np.random.default_rng([seed, 2]).normal(size=3)
        moving = head_session(motion, second_visit=True, seed=seed, gain=1.7, bias=bias, noise=noise)
        for size, unit in offsets:
            degrees, shift_mm = (size, 0.0) if unit == "degrees" else (0.0, size)
            off = rigid_motion(direction, degrees, direction, shift_mm)
            pose = sitk.CompositeTransform([motion.GetInverse(), off])  # the last one is applied first
            errors_mm[size, unit].append(target_error_mm(pose, motion, fixed))
            residuals[size, unit].append(registration.residual_percent(fixed, moving, pose))
    print("| off by | error, mm | residual, %: min | mean | max | above the limit |\n|---|---|---|---|---|---|")
    for (size, unit), values in residuals.items():
        above = sum(value > registration.POOR_RESIDUAL_PERCENT for value in values)
        mean_mm = np.mean(errors_mm[size, unit])
        figures = " | ".join(f"{figure:.1f}" for figure in (mean_mm, np.min(values), np.mean(values), np.max(values)))
        print(f"| {size:g} {unit} | {figures} | {above} of {motions} |")


def main() -> None:
    """Print what was asked for, and under which conditions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", type=int, default=50, help="how many, up to 10 degrees and 15 mm")
    parser.add_argument("--bias", type=float, default=0.0, help="amplitude of a bias field in the second session")
    parser.add_argument("--noise", type=float, default=4.0, help="of both sessions, in per cent of the brain's signal")
    parser.add_argument("--off-by", action="store_true", help="no search: residuals of poses away from the truth")
    parser.add_argument("--no-shading", action="store_true", help="leave out the estimate of the shading")
    parser.add_argument("--relaxation", type=float, default=registration._RELAXATION, help="of the search's step")
    given = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    print(f"tfdrift {tfdrift.__version__}, SimpleITK {sitk.Version.VersionString()}, numpy {np.__version__}, "
          f"Python {platform.python_version()}, one thread")  # fmt: skip
    print(f"{given.motions} motions; bias field {given.bias:g}, noise {given.noise:g}%, "
          f"{'no shading' if given.no_shading else 'shading'}, relaxation {given.relaxation:g}")  # fmt: skip
    measure = move_off if given.off_by else register_motions
    shading = (lambda *_sessions: 1.0) if given.no_shading else registration._relative_field
    with mock.patch.multiple(registration, _RELAXATION=given.relaxation, _relative_field=shading):
        measure(given.motions, bias=given.bias, noise=given.noise)


if __name__ == "__main__":
    main()
