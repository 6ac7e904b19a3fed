#!/bin/sh
# serve_local.sh IMAGE | --local
# Plays the platform for an endpoint: `serve` in a container of IMAGE, or as a process (--local), with the model in
# local_test/test_dir/model (or TEST_DIR), on port 8080 (or PORT), with a page to try it at /. Ctrl-C or SIGTERM stops it.

set -eu
. "$(dirname "$0")/common.sh"
[ $# -eq 1 ] || usage

# A page to try the model at / (MODEL_SERVER_PAGE=off: none).
export MODEL_SERVER_PAGE=${MODEL_SERVER_PAGE-on}

if [ "$1" = --local ]; then
    SAGEMAKER_BASE_DIR=$TEST_DIR SAGEMAKER_BIND_TO_PORT=$PORT exec serve
fi
in_container "$1" serve -p "$PORT:8080"
