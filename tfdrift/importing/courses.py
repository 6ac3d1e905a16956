"""Which structure of an earlier visit each structure of a patient is, as the pairs of every two visits tell."""

from tfdrift.cohort.earlier import NOT_SEEN, Earlier, earlier_change
from tfdrift.importing.sessions import Session


class Courses:
    """What earlier visits show of a patient's lesions; pairs of earlier first visits must be added first."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, int], tuple[int, float]] = {}

    def add(self, place: int, sessions: list[Session], pairs: list[tuple[int, ...]]) -> None:
        """Remember the pairs of two visits.

        Args:
            place: of the second visit in the order of days.
            sessions: the two, or more.
            pairs: numbers of each lesion's structures at each session.
        """
        first = sessions[0]
        for before, after, *_ in pairs:
            self._first.setdefault((place, after), (first.day, first.volumes_mm3[before]))

    def before(self, place: int, session: Session, number: int) -> Earlier:
        """Return how a lesion changed until a visit, since the first one that shows it.

        Args:
            place: of the visit in the order of days.
            session: the visit.
            number: of the lesion's structure there.
        """
        known = self._first.get((place, number))
        if known is None:
            return NOT_SEEN
        day, then_mm3 = known
        return earlier_change(session.day - day, then_mm3=then_mm3, now_mm3=session.volumes_mm3[number])
