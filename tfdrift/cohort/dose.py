"""The dose of treatment as a channel of the first MRI's crops, beside the signal.

In the channel `dose` a pixel holds the dose in Gy divided by `DOSE_UNIT_GY`, and zero outside the GTV, as the signal
does. It is on no scale of the slice's own: 1 is the same dose in every lesion.
"""

DOSE = "dose"
"""Name of the channel."""

DOSE_UNIT_GY = 20.0
"""Gy that stand for 1."""
