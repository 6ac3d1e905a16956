import io

import numpy as np
import pytest
from skimage.io import imread

from tfdrift.drawing.figure import new_figure, png_bytes, write_png
from tfdrift.errors import ResourceError


def drawn():
    """Return a figure with a line on it."""
    figure = new_figure(2, 1, dpi=50)
    figure.subplots().plot([0, 1], [1, 0])
    return figure


def test_a_figure_is_white_and_as_large_as_asked_for():
    image = imread(io.BytesIO(png_bytes(new_figure(2, 1, dpi=50))))
    assert image.shape[:2] == (50, 100)
    np.testing.assert_array_equal(np.unique(image), [255])


def test_the_same_figure_gives_the_same_bytes_without_software_or_date():
    first, second = (png_bytes(drawn()) for _ in range(2))
    assert first == second
    assert b"Software" not in first
    assert b"tIME" not in first


def test_a_png_is_written_whole_and_leaves_nothing_else_behind(tmp_path):
    path = tmp_path / "new" / "a.png"
    write_png(drawn(), path)
    assert path.read_bytes() == png_bytes(drawn())
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"cannot write .*a\.png: .*; choose a folder"):
        write_png(drawn(), tmp_path / "file" / "a.png")


def test_a_target_that_cannot_be_replaced_leaves_no_temporary_file(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ResourceError, match="cannot write"):
        write_png(drawn(), tmp_path / "a.png")
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
