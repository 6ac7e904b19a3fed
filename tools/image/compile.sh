#!/bin/sh
# compile.sh FOLDER
# Installs alone.txt, which choose.py wrote, below FOLDER. fairseq is source, partly in C++, and requires versions that can no
# longer be installed. So it is installed without dependencies; the extra has them.
set -eu
cd "$(dirname "$0")"
. ./settle.sh
begin
# Never empty: docker's old builder fails on a layer that adds nothing.
install -D -m 644 alone.txt "$1/usr/share/byo-container/alone.txt"
if [ ! -s alone.txt ]; then
    settle
    exit
fi
packages=g++
# A distribution's Python has its headers in a package of their own.
python3 -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null ||
    packages="$packages python3-dev"
apt-get update
# shellcheck disable=SC2086
apt-get install -y --no-install-recommends $packages
python3 -m pip install --no-cache-dir --no-compile --disable-pip-version-check --root-user-action=ignore \
    --no-deps -c constraints.txt --root "$1" -r alone.txt
settle
