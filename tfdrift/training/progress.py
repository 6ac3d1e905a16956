"""What a person sees while a run goes on: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable

from tqdm import tqdm


class Progress:
    """Shows the step, the loss, the skill on held-out patients, the speed and the time left.

    Args:
        total: steps of the whole run.
        start: step the run goes on from.
        echo: takes a line of text; used where standard error is no terminal.
    """

    def __init__(self, total: int, *, start: int, echo: Callable[[str], None]) -> None:
        self._echo, self._total, self._start = echo, total, start
        self._since = time.perf_counter()
        self._skill: float | None = None
        self._bar = tqdm(total=total, initial=start, unit="step", dynamic_ncols=True) if sys.stderr.isatty() else None

    def show(self, step: int, *, loss: float, images_per_second: float) -> None:
        """Show how far the run is.

        Args:
            step: steps that are done.
            loss: mean over the last ones.
            images_per_second: of the last ones.
        """
        numbers = {"loss": f"{loss:.4f}", "images/s": f"{images_per_second:.0f}"}
        if self._skill is not None:
            numbers["skill"] = f"{self._skill:.3f}"
        if self._bar is not None:
            self._bar.set_postfix(numbers, refresh=False)
            self._bar.update(step - self._bar.n)
            return
        per_step = (time.perf_counter() - self._since) / max(step - self._start, 1)
        left = tqdm.format_interval(per_step * (self._total - step))
        words = "  ".join(f"{name} {value}" for name, value in numbers.items())
        self._echo(f"step {step}/{self._total}  {words}  left {left}")

    def validated(self, skill: float) -> None:
        """Remember the skill, to be shown from now on."""
        self._skill = skill

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
