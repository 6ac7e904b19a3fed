#!/bin/sh
# Installs Chromium, in which the tests open the server's test page. Without it they are skipped.
cd "$(dirname "$0")/.."
. tools/apt.sh
for name in chromium chromium-browser google-chrome; do
    command -v $name >/dev/null && exit 0
done
apt_or_tell chromium || echo "continuing without the tests of the page" >&2
