#!/bin/sh
# Trains the models that come with this folder: each method on the synthetic cohort, every fold once for the calibration of
# the intervals; the run that holds out fold 0 is exported. Run it where saved_models/ lies, with `tfdrift` on the PATH.
set -eu
drawn="--output correction --agree averaged --recon-ssim 0 --augment symmetries --steps 600 --inner-folds 2
    --validate-every 200 --dressing learned"
for method in method1 method2 direct; do
    if [ "$method" = direct ]; then settings=$drawn; else settings=; fi
    # shellcheck disable=SC2086 - several words
    tfdrift crossval "$method" --base-filters 8 $settings --workers 4 --out "runs/demo-models/$method"
    tfdrift export "runs/demo-models/$method/fold0-seed0" --to "saved_models/$method" --calibration "runs/demo-models/$method"
done
