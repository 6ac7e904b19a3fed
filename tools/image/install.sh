#!/bin/sh
# install.sh cpu|gpu
# Installs requirements.txt and no_deps.txt as choose.py wrote them. PyTorch comes from TORCH_INDEX, where that is given.
set -eu
cd "$(dirname "$0")"
. ./settle.sh
pinned=constraints.txt
pip() {
    python3 -m pip install --no-cache-dir --no-compile --disable-pip-version-check --root-user-action=ignore \
        -c "$pinned" "$@"
}

begin
torch=$(grep '^torch==' requirements.txt || true)
if [ -n "$torch" ] && [ -n "${TORCH_INDEX:-}" ]; then
    pip --no-deps --index-url "$TORCH_INDEX" "$torch" # what it asks for has its pinned versions in the usual index
fi
# A PyTorch that is there by now, ours or the base's, stays as it is: where something does not fit, pip would else go
# through all other builds of it, which are large.
there=$(python3 -c 'from importlib.metadata import version as v; print(v("torch"))' 2>/dev/null || true)
if [ -n "$there" ]; then
    pinned=$(mktemp -p /dev/shm)
    sed "s/^torch==.*/torch===$there/" constraints.txt >"$pinned"
fi
pip -r requirements.txt
[ ! -s no_deps.txt ] || pip --no-deps -r no_deps.txt
if [ "$1" = cpu ] && python3 -m pip list 2>/dev/null | grep '^nvidia-'; then
    echo "this PyTorch is one for GPUs; TORCH_INDEX is '${TORCH_INDEX:-}', and should name an index with builds for CPUs," \
        "such as https://download.pytorch.org/whl/cpu" >&2
    exit 1
fi
settle
