#!/bin/sh
# Sees to it that Chromium is installed, in which the page of the server is tested. Those tests are skipped without it.
cd "$(dirname "$0")/.."
. tools/apt.sh
for name in chromium chromium-browser google-chrome; do
    command -v $name >/dev/null && exit 0
done
apt_or_tell chromium || echo "going on without the tests of the page" >&2
