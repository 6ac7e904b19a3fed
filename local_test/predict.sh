#!/bin/sh
# predict.sh PAYLOAD [CONTENT-TYPE]
# Sends a file to the server that serve_local.sh started, on port 8080 (or PORT), and prints the answer. The content
# type follows from the file's ending where none is given: .json .jsonl .csv .txt .npy. ACCEPT asks for a type back.

set -eu
. "$(dirname "$0")/common.sh"
[ $# -ge 1 ] && [ $# -le 2 ] || usage
[ -f "$1" ] || { echo "predict.sh: there is no file $1" >&2; exit 2; }

type=${2:-}
if [ -z "$type" ]; then
    case $1 in
        *.json) type=application/json ;;
        *.jsonl) type=application/jsonlines ;;
        *.csv) type=text/csv ;;
        *.npy) type=application/x-npy ;;
        *) type=text/plain ;;
    esac
fi
url=http://127.0.0.1:$PORT/invocations

if command -v curl >/dev/null; then
    exec curl --silent --show-error --fail-with-body --data-binary "@$1" \
        -H "Content-Type: $type" -H "Accept: ${ACCEPT:-*/*}" "$url"
fi
# A bare Debian has no curl, but Python is there.
exec python3 - "$url" "$1" "$type" "${ACCEPT:-*/*}" <<'PYTHON'
import sys
import urllib.error
import urllib.request

url, path, content_type, accept = sys.argv[1:]
with open(path, "rb") as payload:
    request = urllib.request.Request(url, payload.read(), {"Content-Type": content_type, "Accept": accept})
try:
    sys.stdout.buffer.write(urllib.request.urlopen(request).read())
except urllib.error.HTTPError as error:
    sys.stdout.buffer.write(error.read())
    sys.exit(f"\npredict.sh: status {error.code}")
except urllib.error.URLError as error:
    sys.exit(f"predict.sh: no server at {url}: {error.reason}")
PYTHON
