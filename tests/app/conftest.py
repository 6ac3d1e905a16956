"""A desk of its own for each test, with nothing on it."""

import pytest

from tfdrift.app.desk import Desk


@pytest.fixture
def desk(tmp_path) -> Desk:
    (tmp_path / "root").mkdir()
    return Desk(tmp_path / "root", tmp_path / "models", tmp_path / "runs", area=tmp_path)
