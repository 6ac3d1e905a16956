"""The synthetic head of benchmarks/registration_error.py, sampled in voxels large enough for a test to be quick."""

import importlib.util
from pathlib import Path
from types import ModuleType

_FILE = Path(__file__).parents[2] / "benchmarks" / "registration_error.py"
SIZE_VOXELS, SPACING_MM = (72, 84, 38), (2.5, 2.5, 4.0)


def load_heads() -> ModuleType:
    """Return a copy of the benchmark's module of its own, whose sizes a test may change."""
    spec = importlib.util.spec_from_file_location("registration_error", _FILE)
    assert spec is not None
    assert spec.loader is not None
    heads = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(heads)
    heads.SIZE_VOXELS, heads.SPACING_MM = SIZE_VOXELS, SPACING_MM
    return heads
