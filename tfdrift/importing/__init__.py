"""A clinic's export to a cohort."""
