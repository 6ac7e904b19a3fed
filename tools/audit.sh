#!/bin/sh
# Looks up every version that constraints.txt pins in PyPI's advisory database. Fails where one has a known vulnerability,
# and where the database cannot be reached.
set -eu
cd "$(dirname "$0")/.."
venv=.venv-audit
if [ ! -x $venv/bin/pip-audit ]; then
    .venv/bin/python -m venv --clear $venv
    $venv/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
fi
exec $venv/bin/pip-audit --disable-pip --no-deps --progress-spinner off --strict -r constraints.txt "$@"
