#!/bin/sh
# The whole way on synthetic patients: train, export, serve, and predict for one of them through the server, with the model
# just trained and with the boxed one, whose interval is calibrated.
# Usage: docs/demo.sh RUN, with `tfdrift` on the PATH; `make demo` does that.
set -eu
run=$1
model=$(basename "$run")
clinic=$run-clinic
prediction=$run-prediction

say() {
    echo "\$ $*"
    "$@"
}

say tfdrift train method1 --out "$run"
say tfdrift export "$run"
if [ ! -d "$clinic" ]; then
    say tfdrift cohort phantom "$clinic" --patients 2
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
for name in "$model" direct; do
    rm -rf "$prediction-$name"
    say tfdrift predict --server "$address" --name "$name" --series "$visit/MR_T1" --rtstruct "$visit"/RTSTRUCT/*.dcm \
        --out "$prediction-$name"
done
echo "the same in a browser: tfdrift app --models saved_models --runs runs"
