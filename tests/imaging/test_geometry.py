import dataclasses

import numpy as np
import pytest

from tests.imaging.mock_dicom import make_grid, random_grid, to_mm
from tfdrift.errors import DataError
from tfdrift.imaging.geometry import Grid, Plane, stack_planes


def planes_of(grid: Grid) -> list[Plane]:
    direction = np.reshape(grid.direction, (3, 3))
    return [
        Plane(
            name=f"file {k}",
            position_mm=tuple(to_mm(grid, np.array([0, 0, k]))),
            orientation=(*direction[:, 0], *direction[:, 1]),
            spacing_mm=(grid.spacing_mm[1], grid.spacing_mm[0]),
            rows=grid.size[1],
            columns=grid.size[0],
        )
        for k in range(grid.size[2])
    ]


def moved(plane: Plane, *offset_mm: float) -> Plane:
    return dataclasses.replace(plane, position_mm=tuple(np.add(plane.position_mm, offset_mm)))


@pytest.mark.parametrize("seed", range(10))
def test_shuffled_planes_give_back_the_grid_they_were_cut_from(seed):
    rng = np.random.default_rng(seed)
    grid = random_grid(rng)
    shuffled = rng.permutation(grid.size[2])
    planes = planes_of(grid)
    found, order = stack_planes([planes[i] for i in shuffled])
    assert [shuffled[i] for i in order] == list(range(grid.size[2]))
    assert found.size == grid.size
    np.testing.assert_allclose(found.spacing_mm, grid.spacing_mm, atol=1e-9)
    np.testing.assert_allclose(found.origin_mm, grid.origin_mm, atol=1e-9)
    np.testing.assert_allclose(found.direction, grid.direction, atol=1e-12)


def test_to_index_is_the_inverse_of_the_definition():
    rng = np.random.default_rng(1)
    grid = random_grid(rng)
    indices = rng.uniform(-5, 30, (50, 3))
    np.testing.assert_allclose(grid.to_index(to_mm(grid, indices)), indices, atol=1e-10)


@pytest.mark.parametrize(
    ("normal", "name"),
    [((0, 0, 1), "axial"), ((0, -1, 0), "coronal"), ((1, 0, 0), "sagittal"), ((0, 0.6, 0.8), "oblique")],
)
def test_orientation_is_that_of_the_normal(normal, name):
    row = np.linalg.svd(np.array([normal]))[2][1]
    direction = np.stack([row, np.cross(normal, row), normal], axis=1)
    assert make_grid(direction=tuple(direction.ravel())).orientation == name


def test_a_missing_slice_is_refused_and_located():
    planes = planes_of(make_grid())
    with pytest.raises(DataError, match=r"missing between file 1 and file 3: they are 4.000 mm .* others 2.000 mm"):
        stack_planes(planes[:2] + planes[3:])


def test_a_duplicate_slice_is_refused_and_named():
    planes = planes_of(make_grid())
    with pytest.raises(DataError, match="file 2 and copy are in the same place"):
        stack_planes([*planes, dataclasses.replace(planes[2], name="copy")])


def test_uneven_distances_are_refused():
    planes = planes_of(make_grid())
    planes[3] = moved(planes[3], 0, 0, 0.3)
    with pytest.raises(DataError, match=r"uneven slice distances: file 3 is 0.300 mm away"):
        stack_planes(planes)


def test_rounding_of_positions_to_a_hundredth_mm_is_not_unevenness():
    grid = make_grid(spacing_mm=(1, 1, 3.333333), size=(7, 6, 20))
    planes = [
        dataclasses.replace(plane, position_mm=tuple(np.round(plane.position_mm, 2))) for plane in planes_of(grid)
    ]
    np.testing.assert_allclose(stack_planes(planes)[0].spacing_mm[2], 3.333333, atol=1e-3)


def test_gantry_tilt_is_refused():
    planes = [moved(plane, 0, 0.1 * k, 0) for k, plane in enumerate(planes_of(make_grid()))]
    with pytest.raises(DataError, match=r"leans \(gantry tilt\): file 4 is 0.400 mm beside"):
        stack_planes(planes)


def test_two_slices_are_refused():
    with pytest.raises(DataError, match="a volume needs at least 3 slices, not 2"):
        stack_planes(planes_of(make_grid())[:2])


def test_mixed_orientations_are_refused():
    planes = planes_of(make_grid())
    planes[1] = dataclasses.replace(planes[1], orientation=(0, 1, 0, 0, 0, 1))
    with pytest.raises(DataError, match="file 1 and file 0 differ in orientation"):
        stack_planes(planes)


def test_mixed_sizes_are_refused():
    planes = planes_of(make_grid())
    planes[1] = dataclasses.replace(planes[1], rows=9)
    with pytest.raises(DataError, match="file 1 and file 0 differ in rows and columns"):
        stack_planes(planes)


def test_mixed_pixel_spacings_are_refused():
    planes = planes_of(make_grid())
    planes[1] = dataclasses.replace(planes[1], spacing_mm=(1, 1.001))
    with pytest.raises(DataError, match="file 1 and file 0 differ in PixelSpacing"):
        stack_planes(planes)


def test_a_volume_too_large_to_hold_is_refused():
    plane = dataclasses.replace(planes_of(make_grid())[0], rows=2048, columns=2048)
    with pytest.raises(DataError, match="40 slices of 2048 x 2048 are more than 134217728 voxels"):
        stack_planes([moved(plane, 0, 0, k) for k in range(40)])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"position_mm": ()}, "no usable ImagePositionPatient"),
        ({"position_mm": (0, np.nan, 0)}, "no usable ImagePositionPatient"),
        ({"orientation": ()}, "no usable ImageOrientationPatient"),
        ({"orientation": (1, 0, 0, 0, np.inf, 0)}, "no usable ImageOrientationPatient"),
        ({"orientation": (1, 0, 0, 0.1, 1, 0)}, "not two perpendicular unit vectors"),
        ({"orientation": (1, 0, 0, 0, 0.9, 0)}, "not two perpendicular unit vectors"),
        ({"orientation": (0, 0, 0, 0, 0, 0)}, "not two perpendicular unit vectors"),
        ({"spacing_mm": ()}, "no usable PixelSpacing"),
        ({"spacing_mm": (1, -1)}, "no usable PixelSpacing"),
        ({"spacing_mm": (1, np.nan)}, "no usable PixelSpacing"),
        ({"rows": 0}, "0 rows and 7 columns"),
        ({"rows": 65535, "columns": 65535}, "65535 rows and 65535 columns"),
    ],
)
def test_unusable_geometry_of_one_slice_is_refused(change, reason):
    plane = planes_of(make_grid())[0]
    with pytest.raises(DataError, match=f"file 0 has .*{reason}"):
        dataclasses.replace(plane, **change)
