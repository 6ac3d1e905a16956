"""The `tfdrift` command: finds the module of a command only when it is asked for, and turns errors into exit codes."""

import importlib
import os
import sys

import click

import tfdrift
from tfdrift.errors import TfdriftError

COMMANDS = {
    "train": ("train:train", "Train a method and score it on held-out patients."),
    "cohort": ("cohort:cohort", "Look into DICOM folders and turn contours into masks."),
    "export": ("export:export", "Write a trained run as a SavedModel for TF Serving."),
    "serve": ("serve:serve", "Serve models over gRPC and REST as TF Serving does."),
