#!/bin/sh
# The whole way on synthetic patients: train, export, serve, and predict for a patient through the server.
# The run is short, so that this takes two minutes; it is served, but its intervals are not calibrated (`tfdrift crossval`
# does that, and trains a run for each fold). So the patient is predicted by `direct`, which comes calibrated.
# Usage: docs/demo.sh RUN, with `tfdrift` on the PATH; `make demo` does that.
set -eu
run=$1
clinic=$run-clinic
prediction=$run-prediction

say() {
    echo "\$ $*"
    "$@"
}

say tfdrift train method1 --image-size 16 --base-filters 4 --steps 100 --out "$run"
say tfdrift export "$run"
if [ ! -d "$clinic" ]; then
    say tfdrift cohort phantom "$clinic" --patients 3 --only 3
fi

set -- saved_models --engine embedded --grpc-port 0 --rest-port 0
echo "\$ tfdrift serve $* &"
: >"$run-serve.log"  # so that it is there before the server writes to it
tfdrift serve "$@" >"$run-serve.log" 2>&1 &
server=$!
trap 'kill "$server"' EXIT
until address=$(sed -n 's/^gRPC *\([^ ]*\).*/\1/p' "$run-serve.log") && [ -n "$address" ]; do
    kill -0 "$server" || { cat "$run-serve.log" >&2; exit 1; }
    sleep 1
done

visit=$(ls -d "$clinic"/*/*_pre | head -n 1)
rm -rf "$prediction"
say tfdrift predict --server "$address" --name direct --series "$visit/MR_T1" --rtstruct "$visit"/RTSTRUCT/*.dcm --out "$prediction"
kill "$server"
trap - EXIT

echo
echo "Open $prediction/report.html. The same in a browser, with your own patients:"
set -- app --models saved_models --runs runs
echo "\$ tfdrift $*"
if [ -t 1 ]; then
    exec tfdrift "$@" --no-browser
fi
