#!/bin/sh
# sdk.sh [v2] [v3]
# Installs SageMaker's Python SDK, by which the tests marked `sdk` run our images: version 2 in .venv-sdk-v2 and version 3
# in .venv-sdk-v3, because their requirements exclude each other, and ours. tests/end_to_end/images/sdk/ has the pins.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- v2 v3
for version; do
    pins=tests/end_to_end/images/sdk/$version.txt
    venv=.venv-sdk-$version
    [ -f "$pins" ] || { echo "sdk.sh: there is no SDK $version; it must be v2 or v3" >&2; exit 2; }
    cmp -s "$pins" "$venv/installed.txt" && continue
    echo "installing SageMaker's SDK $version in $venv"
    .venv/bin/python -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$pins"
    cp "$pins" "$venv/installed.txt"
done
