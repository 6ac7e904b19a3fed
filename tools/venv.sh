#!/bin/sh
# Makes .venv with byo-container, the news classifier and the tools for development, all pinned.
# EXTRAS=news,dev,torch,mpi adds what training on several hosts is tried with, and translation among them what that
# handler needs. Where the usual index gives a PyTorch for GPUs, TORCH_INDEX names one that gives a small one for the CPU.
set -eu
cd "$(dirname "$0")/.."
. tools/apt.sh

find_python() {
    for python in "${PYTHON:-}" python3.13 python3.12 python3.11 python3; do
        if [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$python"
            return
        fi
    done
    echo "byo-container needs Python 3.11 or later; found $(python3 --version 2>&1 || true)" >&2
    return 1
}

make_venv() {
    "$python" -m venv --clear .venv && return
    # Debian splits venv off Python: the module is there, and fails for want of ensurepip.
    apt_or_tell "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv" &&
        "$python" -m venv --clear .venv
}

# fairseq has a part in C++, and comes as source alone.
need_compiler() {
    command -v g++ >/dev/null || apt_or_tell g++ && return
    echo "the extra translation needs g++, to build fairseq" >&2
    return 1
}

python=$(find_python)
echo "setting up .venv with $("$python" --version)"
make_venv
install=".venv/bin/python -m pip install --disable-pip-version-check --progress-bar on -c constraints.txt"
case ${EXTRAS:=news,dev} in
*translation*) need_compiler ;;
esac
case $EXTRAS in
*torch* | *translation*) [ -z "${TORCH_INDEX:-}" ] || $install --index-url "$TORCH_INDEX" torch ;;
esac
$install -e ".[$EXTRAS]"
# Keras 2, by which TensorFlow trains on several hosts. It asks for the package tensorflow, which is tensorflow-cpu here.
$install --no-deps tf-keras
case $EXTRAS in
*translation*) $install --no-deps fairseq ;;
esac
