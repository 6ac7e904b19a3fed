#!/bin/sh
# await.sh PID
# Waits until the server on port 8080 (or PORT) answers /ping with 200; fails when process PID ends before.

set -eu
. "$(dirname "$0")/common.sh"
[ $# -eq 1 ] || usage
exec python3 - "$1" "http://127.0.0.1:$PORT/ping" <<'PYTHON'
import os
import sys
import time
import urllib.error
import urllib.request

pid, url = int(sys.argv[1]), sys.argv[2]
start = last = time.monotonic()
while True:
    try:
        if urllib.request.urlopen(url, timeout=2).status == 200:
            break
    except (urllib.error.URLError, OSError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        sys.exit("the server has ended")
    if time.monotonic() > last + 2:
        last = time.monotonic()
        print(f"waiting for the model to be loaded: {last - start:.0f} s", flush=True)
    time.sleep(0.1)
print(f"the server was ready after {time.monotonic() - start:.1f} s")
PYTHON
