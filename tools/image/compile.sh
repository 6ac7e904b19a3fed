#!/bin/sh
# compile.sh FOLDER
# Installs alone.txt, which choose.py wrote, below FOLDER. fairseq is source, partly in C++, and requires versions that can no
# longer be installed. So it is installed without dependencies; the extra has them.
set -eu
cd "$(dirname "$0")"
. ./settle.sh
. ./debian.sh
begin
# Never empty: docker's old builder fails on a layer that adds nothing.
install -D -m 644 alone.txt "$1/usr/share/byo-container/alone.txt"
if [ ! -s alone.txt ]; then
    settle
    exit
fi
install_debian g++
python3 -m pip install --no-cache-dir --no-compile --disable-pip-version-check --root-user-action=ignore \
    --no-deps -c constraints.txt --root "$1" -r alone.txt
settle
