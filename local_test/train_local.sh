#!/bin/sh
# train_local.sh IMAGE | --local
# Plays the platform for a training job: `train` in a container of IMAGE, or as a process (--local), on
# local_test/test_dir (or TEST_DIR), with the config files and channels in its input/. The model goes to model/;
# an older one is kept as model.old/. A job that fails prints its failure file.

set -eu
. "$(dirname "$0")/common.sh"
[ $# -eq 1 ] || usage

mkdir -p "$TEST_DIR/model" "$TEST_DIR/output"
if [ -n "$(ls -A "$TEST_DIR/model")" ]; then
    rm -rf "$TEST_DIR/model.old"
    mv "$TEST_DIR/model" "$TEST_DIR/model.old"
    mkdir "$TEST_DIR/model"
    echo "the older model is kept in $TEST_DIR/model.old"
fi

status=0
if [ "$1" = --local ]; then
    SAGEMAKER_BASE_DIR=$TEST_DIR train || status=$?
else
    (in_container "$1" train) || status=$?
fi
if [ "$status" -ne 0 ]; then
    echo "train ended with status $status:" >&2
    cat "$TEST_DIR/output/failure" >&2 || echo "(and left no failure file)" >&2
fi
exit "$status"
