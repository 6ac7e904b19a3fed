#!/bin/sh
# system.sh EXTRAS
# Installs what an image needs of its distribution: nginx, for the extra mpi what MPI starts its ranks by, and Python where
# the base image has none.
set -eu
cd "$(dirname "$0")"
. ./settle.sh
. ./debian.sh

packages=nginx
command -v python3 >/dev/null && python3 -m pip --version >/dev/null 2>&1 || packages="$packages python3 python3-pip"
case ,$1, in *,mpi,*) packages="$packages openmpi-bin openssh-server" ;; esac
if ! command -v apt-get >/dev/null; then
    echo "BASE_IMAGE has no apt-get; byo-container's images begin with one of Debian's or Ubuntu's family" >&2
    exit 1
fi

begin
# shellcheck disable=SC2086
install_debian $packages
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "BASE_IMAGE has $(python3 --version); byo-container needs 3.11 or later" >&2
    exit 1
fi
# SageMaker's SDK runs it by either name.
command -v python >/dev/null || ln -s "$(command -v python3)" /usr/local/bin/python
# ssh runs as the user of `train`, and needs no other rights. A host key in an image would be the same everywhere.
for program in /usr/lib/openssh/ssh-keysign /usr/bin/ssh-agent; do
    [ ! -e $program ] || chmod u-s,g-s $program
done
rm -f /etc/ssh/ssh_host_*
settle
