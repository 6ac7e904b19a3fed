#!/bin/sh
# Installs what the tests of several hosts need beside Python: Open MPI, sshd and ip. Without it they are skipped.
cd "$(dirname "$0")/.."
. tools/apt.sh
PATH=$PATH:/usr/sbin
for tool in mpirun sshd ip; do
    if ! command -v $tool >/dev/null; then
        apt_or_tell openmpi-bin openssh-server iproute2 || echo "continuing without the tests of several hosts" >&2
        break
    fi
done
