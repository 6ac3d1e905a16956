"""Losses, the compiled training loop, checkpoints, TensorBoard and the run folder."""
