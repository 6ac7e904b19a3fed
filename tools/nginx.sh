#!/bin/sh
# Sees to it that nginx is installed. serve works without it too, so that this never fails.
cd "$(dirname "$0")/.."
. tools/apt.sh
PATH=$PATH:/usr/sbin:/usr/local/sbin
command -v nginx >/dev/null || apt_or_tell nginx || echo "going on without nginx: gunicorn will listen itself" >&2
