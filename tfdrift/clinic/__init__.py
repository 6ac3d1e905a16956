"""A prediction for a patient, written back for a planning system."""
