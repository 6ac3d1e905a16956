#!/bin/sh
# Trains the two models that come with this folder: each method on the synthetic cohort, every fold once for the
# calibration of the intervals; the run that holds out fold 0 is exported. Run it where saved_models/ lies, with
# `tfdrift` on the PATH.
set -eu
for method in method1 method2; do
    tfdrift crossval "$method" --base-filters 8 --workers 4 --out "runs/demo-models/$method"
    tfdrift export "runs/demo-models/$method/fold0-seed0" --to "saved_models/$method" --calibration "runs/demo-models/$method"
done
