"""Noise schedules, the forward process and the DDIM sampler: algebra on tensors, no network and no file."""
