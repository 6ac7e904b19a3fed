#!/bin/sh
# train_local.sh IMAGE | --local [--hosts N] [--loopback] [DOCKER-OPTION…]
# Plays the platform for a training job: `train` in a container of IMAGE, or as a process (--local), on
# local_test/test_dir (or TEST_DIR), with the config files and channels in its input/. The model goes to model/;
# an older one is kept as model.old/; uploaded/ has what SageMaker would upload. checkpoints/ stays, as after a
# spot interruption: remove it to train from the beginning. A job that fails prints its failure file. Ctrl-C or SIGTERM
# stops it.
# --hosts N plays N hosts, with all logs shown as one and each host's /opt/ml in hosts/: containers algo-1 … algo-N on
# one network; with --local network namespaces (as root), else or with --loopback processes 127.0.0.1 … 127.0.0.N.
# Other options (--memory 2g, --cpus 1) go to `docker run`.

set -eu
. "$(dirname "$0")/common.sh"
[ $# -ge 1 ] || usage
export TEST_DIR
cd "$here/.."
exec python3 -m local_test.train_local "$@"
