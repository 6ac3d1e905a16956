import pytest

from tfdrift.clinic.document import decide_below


@pytest.mark.parametrize(
    ("low", "high", "decided"),
    [(0, 799.9, "yes"), (0, 800, "undecided"), (799.9, 2000, "undecided"), (800, 800, "no"), (900, 2000, "no")],
)
def test_an_interval_decides_only_where_80_percent_is_not_in_it(low, high, decided):
    assert decide_below(1000.0, low, high) == decided
