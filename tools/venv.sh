#!/bin/sh
# Creates .venv with byo-container, the news classifier and the development tools, all in the versions of constraints.txt.
# EXTRAS=news,dev,torch,mpi adds what the tests of several hosts need, `text_classification` and `translation` what those
# handlers need. Where pip's index has PyTorch for GPUs only, TORCH_INDEX names an index with small builds for the CPU.
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
    # Debian has venv in a package of its own: without it the module exists, and fails because ensurepip is missing.
    apt_or_tell "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv" &&
        "$python" -m venv --clear .venv
}

find_compiler() {
    command -v g++ >/dev/null || apt_or_tell g++
}

python=$(find_python)
echo "setting up .venv with $("$python" --version)"
make_venv
install=".venv/bin/python -m pip install --disable-pip-version-check --progress-bar on -c constraints.txt"
case ${EXTRAS:=news,dev} in
*translation*)
    # fairseq is partly in C++, and there are no wheels of it.
    find_compiler || { echo "the extra translation needs g++, to build fairseq" >&2 && exit 1; }
    ;;
*text_classification*)
    find_compiler || echo "continuing without g++, by which torch.compile compiles: models are trained without it" >&2
    ;;
esac
case $EXTRAS in
*torch* | *text_classification* | *translation*) [ -z "${TORCH_INDEX:-}" ] || $install --index-url "$TORCH_INDEX" torch ;;
esac
$install -e ".[$(echo "$EXTRAS" | tr _ -)]" # pip before 23.3 knows extras by their names with hyphens alone
# Keras 2, by which TensorFlow trains on several hosts. It requires the package tensorflow, which is tensorflow-cpu here.
$install --no-deps tf-keras
case $EXTRAS in
*translation*) $install --no-deps fairseq ;;
esac
