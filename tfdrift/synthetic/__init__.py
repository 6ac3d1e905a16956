"""Cohorts made by the computer: laws of change, the phantom, growing digits, the phantom as a clinic's DICOM."""
