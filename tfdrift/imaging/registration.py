"""The second session onto the first one's grid, with how it was done and how well.

Every transform here maps a point of the fixed session (the first MRI) to the point of the moving session (the second)
that shows the same tissue, both in DICOM's patient coordinates, LPS in mm: the direction in which `imaging.resampling`
resamples.
"""

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tfdrift.errors import DataError, UsageError
from tfdrift.imaging.intensity import distance_mm, session_gain, tissue_mask
from tfdrift.imaging.pixels import measured
from tfdrift.imaging.resampling import FILTERED_VOXELS, coarser, resample_image, smooth
from tfdrift.imaging.residual import POOR_RESIDUAL_PERCENT, RIM_MM, residual_percent
from tfdrift.imaging.spatial_registration import find_spatial_registration

REGISTER_MODES = ("auto", "rigid", "identity")
MAX_ANGLE_DEGREES = 45.0
MAX_SHIFT_MM = 100.0

_LEVELS_MM = (6.0, 3.0, 2.0)
_START_ANGLES_DEGREES = (-20.0, 0.0, 20.0)
_FIELD_SIGMA_MM = 15.0
_FIELD_FLOOR = 0.003  # of the tissue signal
_BINS = 48
_SAMPLED_FRACTION = 0.25
_MAX_ITERATIONS = 300
_WORSE_SHARE = 0.05  # near its top mutual information wavers by 1% or so with the sampling; this is more than that
_SHORTEST_STEP_MM = 0.005
_RELAXATION = 0.9  # at the usual 0.5 the step runs out before a near-round head has finished turning
_NO_OVERLAP = "All samples map outside moving image buffer"  # in the text of SimpleITK's RuntimeError


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Hold SimpleITK to one thread: over several, the sums of a metric or a centroid end in other bits every time.

    The number that a registration method is given itself does not reach its metric (SimpleITK 2.5.7, measured).
    """
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Registration:
    """How the second session was brought onto the first, and how well it fits.

    Args:
        kind: `identity` (one frame of reference), `dicom` (a Spatial Registration object) or `rigid` (by image).
        transform: maps points of the fixed image to points of the moving one, LPS mm.
        residual_percent: how much of the local structure of the head is not common to both sessions, 0 to 100, see
            `tfdrift.imaging.residual`.
        iterations: of the optimiser over all levels, 0 where none ran.
        converged: False where the optimiser stopped at its bound on iterations; True where none ran.
        warnings: of a registration object, such as a deformation that folds.
    """

    kind: str
    transform: sitk.Transform
    residual_percent: float
    iterations: int = 0
    converged: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def suspect(self) -> bool:
        """Whether a person should look: warnings, no convergence, or a residual above `POOR_RESIDUAL_PERCENT`."""
        return bool(self.warnings) or not self.converged or self.residual_percent > POOR_RESIDUAL_PERCENT


def register(
    fixed: sitk.Image,
    moving: sitk.Image,
    *,
    fixed_frame: str,
    moving_frame: str,
    registration_files: Sequence[Path] = (),
    mode: str = "auto",
    seed: int = 0,
) -> Registration:
    """Register two sessions the best way the data allow.

    `auto` takes the identity when the frames of reference are the same, else the newest registration object that
    relates the two frames, else the images themselves.

    Args:
        fixed: the first session.
        moving: the second session.
        fixed_frame: Frame of Reference UID of `fixed`.
        moving_frame: Frame of Reference UID of `moving`.
        registration_files: the patient's registration objects, rigid or deformable, in any order.
        mode: `auto`, or `rigid` or `identity` to force one.
        seed: of the metric's samples in `register_rigid`.

    Raises:
        UsageError: unknown mode.
        DataError: a registration object relates the frames but cannot be used, or `register_rigid` or
            `residual_percent` refuses the images.
    """
    if mode not in REGISTER_MODES:
        raise UsageError(f"--register {mode}: choose from {', '.join(REGISTER_MODES)}")
    if mode == "identity" or (mode == "auto" and fixed_frame == moving_frame):
        return _known("identity", fixed, moving, sitk.Euler3DTransform())
    if mode == "auto":
        stored = find_spatial_registration(registration_files, fixed_frame, moving_frame, _corners_mm(fixed))
        if stored is not None:
            return _known("dicom", fixed, moving, stored.transform, stored.warnings)
    return register_rigid(fixed, moving, seed=seed)


@_one_thread()
def register_rigid(fixed: sitk.Image, moving: sitk.Image, *, seed: int = 0) -> Registration:
    """Find the rigid motion between two sessions by Mattes mutual information, coarse to fine.

    Mutual information asks only that one signal predicts the other, so the sessions may differ in scale and contrast.
    It is summed over the head around the inner brain of `fixed`. The search starts from the best of 81 poses: shift
    zero, between the middles of the images and between the brains, each with turns of -20, 0 and 20 degrees about the
    three axes. After each level the smooth shading between the sessions is estimated anew and taken into account.
    It runs on one thread with fixed samples: the same inputs give the same bits. SimpleITK's global number of threads
    is 1 meanwhile.

    Args:
        fixed: the first session, 3-D, LPS mm.
        moving: the second session.
        seed: of the metric's samples, at least 0.

    Returns:
        The registration, flagged `converged=False` where the optimiser stopped at its bound on iterations.

    Raises:
        DataError: an image shows no brain (see `tissue_mask`), the two do not overlap or share
            too little of the brain, the motion found is not
            plausible (see `check_plausible`), or the search ended at a worse fit than it began.

    Source: D. Mattes et al., PET-CT image registration in the chest using free-form deformations, IEEE Trans. Med.
        Imaging 22 (2003) 120-128; the accuracy is measured in docs/registration.md.
    """
    fixed, moving = sitk.Cast(fixed, sitk.sitkFloat32), sitk.Cast(moving, sitk.sitkFloat32)
    tissue = tissue_mask(fixed)
    centre_mm, moving_centre_mm = _centroid_mm(tissue), _centroid_mm(tissue_mask(moving))
    middle_shift_mm = _middle_mm(moving) - _middle_mm(fixed)
    shifts_mm = [np.zeros(3), middle_shift_mm, moving_centre_mm - centre_mm]

    try:
        start, transform, iterations, converged = _search(fixed, moving, tissue, centre_mm, shifts_mm, seed)
        finest = coarser(fixed, _LEVELS_MM[-1]), coarser(moving, _LEVELS_MM[-1])
        judge = _optimiser(sitk.And(distance_mm(tissue) <= RIM_MM, measured(fixed)), _LEVELS_MM[-1], seed, *finest)
        before, after = (_information(judge, *finest, pose) for pose in (start, transform))
    except RuntimeError as error:
        if _NO_OVERLAP not in str(error):
            raise
        raise DataError("the two MRIs do not overlap during registration; check that both show the head") from None
    if converged and after < (1 - _WORSE_SHARE) * before:
        raise DataError(
            f"registration ended at a worse fit than it began (mutual information {after:.3f} after {before:.3f}); "
            "register the two MRIs in the planning system and export the registration object"
        )
    check_plausible(transform, centre_mm, expected_shifts_mm=shifts_mm)
    residual = residual_percent(fixed, moving, transform)
    return Registration(
        kind="rigid", transform=transform, residual_percent=residual, iterations=iterations, converged=converged
    )


def check_plausible(
    transform: sitk.Euler3DTransform, centre_mm: np.ndarray, *, expected_shifts_mm: Sequence[np.ndarray]
) -> None:
    """Refuse a motion no patient makes between two head scans.

    Two scanners put their origins anywhere, so a shift is measured from the nearest of the shifts that are known
    without looking at the fit: none, between the middles of the images, between the brains.

    Args:
        transform: the motion found.
        centre_mm: float64 [3], of the brain in the fixed image.
        expected_shifts_mm: float64 [3] each.

    Raises:
        DataError: the angle is above `MAX_ANGLE_DEGREES` or the shift above `MAX_SHIFT_MM`.
    """
    rotation = np.reshape(transform.GetMatrix(), (3, 3))
    angle = math.degrees(math.acos(float(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))
    shift_mm = np.array(transform.TransformPoint(centre_mm.tolist())) - centre_mm
    excess_mm = min(float(np.linalg.norm(shift_mm - expected)) for expected in expected_shifts_mm)
    if angle > MAX_ANGLE_DEGREES or excess_mm > MAX_SHIFT_MM:
        raise DataError(
            f"registration found a motion of {angle:.0f} degrees and {excess_mm:.0f} mm (at most {MAX_ANGLE_DEGREES:g} "
            f"and {MAX_SHIFT_MM:g} are plausible); check that both MRIs are of one patient"
        )


def _known(
    kind: str, fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform, warnings: tuple[str, ...] = ()
) -> Registration:
    residual = residual_percent(fixed, moving, transform)
    return Registration(kind=kind, transform=transform, residual_percent=residual, warnings=warnings)


def _search(
    fixed: sitk.Image,
    moving: sitk.Image,
    tissue: sitk.Image,
    centre_mm: np.ndarray,
    shifts_mm: Sequence[np.ndarray],
    seed: int,
) -> tuple[sitk.Euler3DTransform, sitk.Euler3DTransform, int, bool]:
    """Return (start, end, iterations, whether no level stopped at its bound)."""
    region = sitk.And(distance_mm(tissue) <= RIM_MM, measured(fixed))
    start: sitk.Euler3DTransform | None = None
    pose, iterations, converged = sitk.Euler3DTransform(), 0, True
    for level_mm in _LEVELS_MM:
        shaded = fixed if start is None else fixed * _relative_field(fixed, moving, pose, tissue)
        coarse_fixed, coarse_moving = coarser(shaded, level_mm), coarser(moving, level_mm)
        method = _optimiser(region, level_mm, seed, coarse_fixed, coarse_moving)
        if start is None:
            start = _best_start(method, coarse_fixed, coarse_moving, centre_mm, shifts_mm)
            pose = sitk.Euler3DTransform(start)
        method.SetInitialTransform(pose, inPlace=True)
        method.Execute(coarse_fixed, coarse_moving)
        iterations += method.GetOptimizerIteration()
        converged = converged and method.GetOptimizerIteration() < _MAX_ITERATIONS
    assert start is not None
    return start, pose, iterations, converged


def _relative_field(
    fixed: sitk.Image, moving: sitk.Image, pose: sitk.Euler3DTransform, tissue: sitk.Image
) -> sitk.Image:
    """Return float32 on the grid of `fixed`: the smooth factor that gives it the shading of `moving`.

    A bias field between the sessions pulls the optimum of mutual information along with it; docs/registration.md has
    the figures. Local means of tissue are compared, for which the pose need not be exact.
    """
    onto = resample_image(moving, fixed, pose, interpolation="linear")
    weight = sitk.Cast(sitk.And(tissue > 0, onto > 0), sitk.sitkFloat32)
    level = session_gain(fixed, onto, weight > 0).gain
    one, other = (sitk.GetArrayFromImage(_blur(image * weight)) for image in (fixed, onto * level))
    # Far from tissue both means fade out and the factor goes to the overall one.
    floor = _FIELD_FLOOR * float(np.median(sitk.GetArrayViewFromImage(fixed)[sitk.GetArrayViewFromImage(weight) > 0]))
    field = sitk.GetImageFromArray(((other.clip(0) + floor) / (one.clip(0) + floor)).astype(np.float32))
    field.CopyInformation(fixed)
    return field


def _blur(image: sitk.Image) -> sitk.Image:
    return smooth(image, [_FIELD_SIGMA_MM] * 3)


def _optimiser(
    region: sitk.Image, spacing_mm: float, seed: int, fixed: sitk.Image, moving: sitk.Image
) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricFixedMask(region)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(_SAMPLED_FRACTION, seed + 1)  # to SimpleITK, 0 means the clock
    method.SetInterpolator(sitk.sitkLinear)
    if min(*fixed.GetSize(), *moving.GetSize()) < FILTERED_VOXELS:  # else the metric smooths them for their gradients
        method.MetricUseFixedImageGradientFilterOff()
        method.MetricUseMovingImageGradientFilterOff()
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=spacing_mm / 2,
        minStep=_SHORTEST_STEP_MM,
        numberOfIterations=_MAX_ITERATIONS,
        relaxationFactor=_RELAXATION,
        gradientMagnitudeTolerance=1e-6,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    return method


def _information(
    method: sitk.ImageRegistrationMethod, fixed: sitk.Image, moving: sitk.Image, pose: sitk.Euler3DTransform
) -> float:
    """Return the mutual information of the two images at `pose`, which is left as it is."""
    method.SetInitialTransform(sitk.Euler3DTransform(pose), inPlace=True)
    return -method.MetricEvaluate(fixed, moving)


def _best_start(
    method: sitk.ImageRegistrationMethod,
    fixed: sitk.Image,
    moving: sitk.Image,
    centre_mm: np.ndarray,
    shifts_mm: Sequence[np.ndarray],
) -> sitk.Euler3DTransform:
    """Return the pose of the best metric; raises RuntimeError, as SimpleITK does, where none overlaps."""
    poses = []
    for shift_mm, *angles in itertools.product(shifts_mm, *3 * [_START_ANGLES_DEGREES]):
        pose = sitk.Euler3DTransform(centre_mm.tolist(), *[math.radians(angle) for angle in angles], shift_mm.tolist())
        try:
            poses.append((_information(method, fixed, moving, pose), pose))
        except RuntimeError as error:  # this pose may lie outside the moving image; others need not
            if _NO_OVERLAP not in str(error):
                raise
    if not poses:
        raise RuntimeError(_NO_OVERLAP)
    return max(poses, key=lambda scored: scored[0])[1]


def _corners_mm(image: sitk.Image) -> np.ndarray:
    """Return float64 [8, 3], the centres of the corner voxels."""
    corners = itertools.product(*[(0, n - 1) for n in image.GetSize()])
    return np.array([image.TransformIndexToPhysicalPoint(corner) for corner in corners])


def _middle_mm(image: sitk.Image) -> np.ndarray:
    return np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))


def _centroid_mm(mask: sitk.Image) -> np.ndarray:
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(mask)
    if not shape.HasLabel(1):
        raise DataError("an MRI shows no brain tissue; check that the series is a head")
    return np.array(shape.GetCentroid(1))
