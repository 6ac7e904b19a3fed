#!/bin/sh
# package.sh HANDLERS FOLDER
# Installs the byo-container of the current folder below FOLDER, with only these handlers.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/settle.sh"
begin
python3 "$here/choose.py" prune "$1" .
python3 -m pip install --no-cache-dir --no-compile --disable-pip-version-check --root-user-action=ignore \
    --no-deps --no-build-isolation --root "$2" .
mkdir -p "$2/opt/ml" "$2/opt/byo-container/bin"
# Other packages have commands of the same names (sagemaker-training, sagemaker-containers). The Dockerfiles put this folder
# first on the PATH, so that ours are run whatever is installed later.
for name in train serve byo-container; do
    find "$2" -path "*/bin/$name" ! -path "$2/opt/*" -type f -exec cp {} "$2/opt/byo-container/bin/" \;
    test -x "$2/opt/byo-container/bin/$name"
done
# The modes of the files come from a checkout, and depend on its owner's umask.
chmod -R u=rwX,go=rX "$2"
settle
