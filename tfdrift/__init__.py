"""Predict how a brain metastasis changes between two MRIs around radiosurgery, with diffusion models.

In the order in which they may import one another:

errors        what can go wrong, each with its exit code
axes          which axis of an array of images is which
files         what is written appears whole or not at all
on_disk       what does not fit into memory
processes     a process for each task
cluster       such tasks on the workers of a Dask cluster
drawing       figures, colours, panels, charts
statistics    intervals over patients, comparisons, conformal margins
imaging       files of a scanner or planning system to volumes and masks in mm
diffusion     schedules, the forward process, the sampler
model         the networks
methods       what a network is shown, what it is compared with, how it answers
config        every setting with its range and default
cohort        what a cohort is
synthetic     cohorts made by the computer
importing     a clinic's export to a cohort
training      a method on data into a run folder
evaluation    scores on held-out patients, beside the baselines
reproduction  the paper's figures and our tables
export        a run to a blessed, versioned SavedModel
clinic        a prediction for a patient
app           a page on this machine for those who type no commands
serving       TF Serving's protocol for any SavedModel; beside the others, it imports `errors` alone
"""

import os

__version__ = "0.2.0"

# Read when TensorFlow is imported. By itself it takes oneDNN's convolutions on processors with AVX-512 alone; with AVX2
# they train four times as fast (docs/speed.md).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
