#!/bin/sh
# Makes .venv with byo-container, the news classifier and the tools for development, all pinned.
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

python=$(find_python)
echo "setting up .venv with $("$python" --version)"
make_venv
.venv/bin/python -m pip install --disable-pip-version-check --progress-bar on -c constraints.txt -e '.[news,dev]'
