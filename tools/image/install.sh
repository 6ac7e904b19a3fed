#!/bin/sh
# install.sh cpu|gpu
# Installs requirements.txt in the versions of constraints.txt, no_deps.txt, which has versions of its own, and the Debian
# packages of debian.txt; choose.py wrote all three. PyTorch comes from TORCH_INDEX, where that is given.
set -eu
cd "$(dirname "$0")"
. ./settle.sh
. ./debian.sh
pip() {
    python3 -m pip install --no-cache-dir --no-compile --disable-pip-version-check --root-user-action=ignore "$@"
}

begin
# shellcheck disable=SC2046
[ ! -s debian.txt ] || install_debian $(cat debian.txt)
if [ -n "${TORCH_INDEX:-}" ] && grep -q '^torch[^a-z]' requirements.txt; then
    pip --no-deps --index-url "$TORCH_INDEX" -c constraints.txt torch # its dependencies come from the usual index
fi
# A PyTorch that is installed by now, ours or the base's, stays as it is: where something does not fit, pip would otherwise
# try all other builds of it, which are large.
constraints=constraints.txt
installed=$(python3 -c 'from importlib.metadata import version as v; print(v("torch"))' 2>/dev/null || true)
if [ -n "$installed" ]; then
    constraints=$(mktemp -p /dev/shm)
    sed "s/^torch==.*/torch===$installed/" constraints.txt >"$constraints"
fi
pip -c "$constraints" -r requirements.txt
[ ! -s no_deps.txt ] || pip --no-deps -r no_deps.txt
if [ "$1" = cpu ] && python3 -m pip list 2>/dev/null | grep '^nvidia-'; then
    echo "this PyTorch is one for GPUs; TORCH_INDEX is '${TORCH_INDEX:-}', and should name an index with builds for CPUs," \
        "such as https://download.pytorch.org/whl/cpu" >&2
    exit 1
fi
settle
