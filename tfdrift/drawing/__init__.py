"""Figures, their colours, panels of slices and charts."""
