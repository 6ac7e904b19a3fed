#!/bin/sh
# Installs SageMaker's inference toolkits and their frameworks in .venv-toolkits, where tests/serving/end_to_end/toolkits/
# compares their responses by an inference.py with ours. It uses the PyTorch and NumPy of .venv; what it installs is pinned in
# tests/serving/end_to_end/toolkits/pins.txt.
set -eu
cd "$(dirname "$0")/.."
pins=tests/serving/end_to_end/toolkits/pins.txt
venv=.venv-toolkits
if ! cmp -s "$pins" "$venv/installed.txt"; then
    echo "installing SageMaker's inference toolkits in $venv"
    .venv/bin/python -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$pins"
    site='import sysconfig; print(sysconfig.get_path("purelib"))'
    beside=$(.venv/bin/python -c "$site")
    # By addsitedir, so that .pth files there are read too, such as that of byo-container itself.
    echo "import site; site.addsitedir('$beside')" >"$("$venv/bin/python" -c "$site")/beside.pth"
    cp "$pins" "$venv/installed.txt"
fi
