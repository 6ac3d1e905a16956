"""What can go wrong that a user can act on, each with the exit code the command line ends with.

A message says what is wrong, where, and what to do, in one line, and never names a patient.
"""


class TfdriftError(Exception):
    """Base of every error a user can meet; the command line prints its message without a traceback."""

    exit_code = 1


class NotBlessedError(TfdriftError):
    """A model that was not pushed because it does not deserve to be served (exit code 1)."""


class UsageError(TfdriftError):
    """An option or argument that cannot be used (exit code 2)."""

    exit_code = 2


class DataError(TfdriftError):
    """Input data that cannot be used: images, contours, cohorts, run folders, models (exit code 3)."""

    exit_code = 3


class ResourceError(TfdriftError):
    """The surroundings do not allow it: unwritable folder, full disk, missing program, port taken (exit code 4)."""

    exit_code = 4


class DivergedError(TfdriftError):
    """Training met a loss or gradient that is not a finite number (exit code 5)."""

    exit_code = 5


class StoppedError(TfdriftError):
    """A signal asked for the end and the work so far was saved (exit code 128 + signal number)."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        # An exception's own way into another process takes the message alone along.
        return type(self), (str(self), self.exit_code - 128)
