#!/bin/sh
# Installs nginx. `serve` works without it, so this never fails.
cd "$(dirname "$0")/.."
. tools/apt.sh
PATH=$PATH:/usr/sbin:/usr/local/sbin
command -v nginx >/dev/null || apt_or_tell nginx || echo "continuing without nginx: gunicorn will listen itself" >&2
