"""Which channels an import makes, and by what name a series of a channel is recognised."""

import dataclasses
import re
from collections.abc import Sequence

from tfdrift.cohort.dose import DOSE
from tfdrift.cohort.samples import DEFAULT_CHANNELS
from tfdrift.errors import UsageError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,15}")

KNOWN = {
    "T2": r"(?<![a-z0-9])t2(?![a-z0-9*])(?!.*(flair|dark.?fluid))",
    "FLAIR": r"flair|dark.?fluid",
}
"""What is looked for under names that are parts of others' names: a FLAIR is often called T2 FLAIR."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChannelRule:
    """A channel beyond the first.

    Args:
        name: of the channel.
        pattern: regular expression for SeriesDescription or SequenceName, upper or lower case alike; empty where the
            name itself is looked for.
    """

    name: str
    pattern: str = ""

    def fits(self, texts: Sequence[str]) -> bool:
        """Return whether one of a series' descriptions is of this channel.

        Args:
            texts: SeriesDescription and SequenceName.

        Example:
            >>> [ChannelRule(name="T2").fits([text]) for text in ("t2_tse_tra", "T2 FLAIR", "AT2")]
            [True, False, False]
        """
        named = KNOWN.get(self.name.upper(), rf"(?<![a-z0-9]){re.escape(self.name)}(?![a-z0-9])")
        return any(re.search(self.pattern or named, text, re.IGNORECASE) for text in texts)


def read_channels(text: str) -> tuple[str, tuple[ChannelRule, ...]]:
    """Return the name of the first channel, and the rules of the others.

    Args:
        text: names separated by commas, those after the first perhaps with a pattern, such as `T1,T2=^t2_tse,dose`;
            empty for the one channel of old.

    Raises:
        UsageError: a name is none or comes twice, a pattern is no regular expression, or it belongs to the first
            channel or to the dose, which are found otherwise.

    Example:
        >>> first, others = read_channels("T1, FLAIR=dark.fluid, dose")
        >>> first, [(one.name, one.pattern) for one in others]
        ('T1', [('FLAIR', 'dark.fluid'), ('dose', '')])
    """
    if not text.strip():
        return DEFAULT_CHANNELS[0], ()
    rules: list[ChannelRule] = []
    for part in text.split(","):
        name, separator, pattern = (one.strip() for one in part.partition("="))
        if not NAME.fullmatch(name):
            raise UsageError(f"--channels {name}: a name is a letter and up to 15 letters, digits, _, + or -")
        if name.lower() == DOSE and name != DOSE:
            raise UsageError(f"--channels {name}: the dose is called {DOSE}")
        if name.lower() in {one.name.lower() for one in rules}:
            raise UsageError(f"--channels {name}: it comes twice")
        if separator and not rules:
            raise UsageError(f"--channels {name}=...: the first channel is the series that lesions are drawn on")
        if separator and (name == DOSE or not pattern):
            raise UsageError(
                f"--channels {name}=...: {'RTDOSE objects have no such name' if pattern else 'say by what'}"
            )
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(f"--channels {name}=...: no regular expression ({error})") from None
        rules.append(ChannelRule(name=name, pattern=pattern))
    if rules[0].name == DOSE:
        raise UsageError(
            f"--channels {DOSE}: the first channel is the MRI that lesions are drawn on, such as T1,{DOSE}"
        )
    return rules[0].name, tuple(rules[1:])
