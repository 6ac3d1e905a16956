"""The colours of all pictures, so that one colour means one thing in every report."""

# Okabe and Ito's colours, told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, PURPLE, YELLOW = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"
GREY = "#777777"

SERIES = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, GREY)
"""Of curves and groups that are alike, in this order."""

INK, QUIET = "#1d2733", "#9aa3ad"
"""Of text and marks; of axes, zero lines and what must not draw the eye."""

BEFORE, AFTER = "gold", "deepskyblue"
"""Outlines of the GTV at the first and at the second MRI."""

POOR, GOOD = ORANGE, BLUE
"""Lesions that keep 80% of their volume or more, and the others."""

MAPS = {"image": "gray", "drift": "RdBu_r", "uncertainty": "magma"}
"""Colour map of each kind of panel: white is no drift, and black is no doubt."""

NOT_A_NUMBER = "limegreen"
"""A value that is not a number must be seen."""
