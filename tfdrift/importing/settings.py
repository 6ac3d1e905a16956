"""What an import is asked for, with every default and range."""

import dataclasses
import math
from pathlib import Path

from tfdrift.cohort.channel_names import ChannelRule, read_channels
from tfdrift.cohort.crop import BOXES, LESIONS, SLICE, SLICES
from tfdrift.errors import UsageError
from tfdrift.imaging.registration import REGISTER_MODES
from tfdrift.importing.sessions import THREE, VISIT_CHOICES, VISITS
from tfdrift.importing.target_names import DEFAULT_ROI_PATTERN, target_rule


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """The settings of one import; the names are those of the command line.

    Args:
        source: a key of `tfdrift.importing.sources.SOURCES`, or `auto`.
        roi: which structures are lesions, see `target_rule`.
        pairs: table for `read_pairs`; it decides for the patients it names.
        visits: one of `VISIT_CHOICES`.
        exclude: table for `tfdrift.cohort.tables.read_wrong_pairs`; the lesions that it names are left out.
        box: one of `BOXES`, see `crop_lesion`.
        slices: one of `SLICES`, see `choose_slices`.
        lesion: one of `LESIONS`, what a crop is.
        register: one of `REGISTER_MODES`, see `tfdrift.imaging.registration.register`.
        by_place: a structure set whose series is not there may be matched by place, see
            `tfdrift.imaging.matching.weigh_candidates`.
        channels: names of the channels, see `tfdrift.cohort.channel_names.read_channels`.
        components: each connected part of a mask is a lesion, where a source has masks.
        min_days: shortest interval between the two MRIs.
        max_days: longest.
        folds: number of folds, at least 2.
        image_size: S, at least 8.
        seed: of the folds and the registration.
        key: file of the pseudonyms' key; made where there is none. By default `<out>.key` beside `out`.
        workers: processes; by default one for each processor.
        scheduler: of a cluster that imports, see `tfdrift.cluster.run_anywhere`.
        strict: refuse, and write nothing, where something is broken.
        time_limit_seconds: for a patient; two rigid registrations of large heads take minutes.

    Raises:
        UsageError: a value is out of its range or none of its choices; the message names the option.
    """

    source: str = "auto"
    roi: str = DEFAULT_ROI_PATTERN
    pairs: Path | None = None
    visits: str = THREE
    exclude: Path | None = None
    box: str = "pre"
    slices: str = "three"
    lesion: str = SLICE
    register: str = "auto"
    by_place: bool = False
    channels: str = ""
    components: bool = False
    min_days: int = 1
    max_days: int = 3653
    folds: int = 5
    image_size: int = 32
    seed: int = 0
    key: Path | None = None
    workers: int | None = None
    scheduler: str | None = None
    strict: bool = False
    time_limit_seconds: float = 3600.0

    def __post_init__(self) -> None:
        target_rule(self.roi)
        read_channels(self.channels)
        for option, choices in (
            ("visits", VISIT_CHOICES),
            ("box", BOXES),
            ("slices", SLICES),
            ("lesion", LESIONS),
            ("register", REGISTER_MODES),
        ):
            if getattr(self, option) not in choices:
                raise UsageError(f"--{option} {getattr(self, option)}: choose from {', '.join(choices)}")
        least = {"folds": 2, "image_size": 8, "seed": 0, "workers": 1, "min_days": 0, "time_limit_seconds": 1}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and not low <= value < math.inf:
                raise UsageError(f"--{name.replace('_', '-')} {value}: must be {low} or more")
        if self.max_days < max(self.min_days, 1):
            raise UsageError(f"--max-days {self.max_days}: must be 1 or more, and at least --min-days {self.min_days}")

    @property
    def at_most_visits(self) -> int | None:
        """How many visits of a patient are used; None for all."""
        return len(VISITS) if self.visits == THREE else None

    @property
    def more_channels(self) -> tuple[ChannelRule, ...]:
        """The channels beyond the first."""
        return read_channels(self.channels)[1]

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The names of all channels."""
        first, others = read_channels(self.channels)
        return (first, *(one.name for one in others))

    def document(self) -> dict[str, object]:
        """Return what `import.json` says of the settings: what decides about the slices, and no name or path."""
        return {
            # A pattern or a table that was given may hold a name, so it is only said that there was one.
            "roi": "default" if self.roi == DEFAULT_ROI_PATTERN else "given",
            "pairs": self.pairs is not None,
            **({"exclude": True} if self.exclude else {}),
            **({"channels": list(self.channel_names)} if self.channels else {}),  # a pattern may hold a name
            **{
                name: getattr(self, name)
                for name in (
                    "source",
                    "by_place",
                    "components",
                    "visits",
                    "box",
                    "slices",
                    "lesion",
                    "register",
                    "seed",
                )
            },
        }
