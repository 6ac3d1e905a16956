"""Figures on matplotlib's Agg canvas, never pyplot: nothing global, no window, safe in threads.

figure   the figure factory, and figures as PNG
colours  the colours of each kind of value
panels   grids of images with one colour bar a kind
charts   bars with intervals, curves and scatter
"""
