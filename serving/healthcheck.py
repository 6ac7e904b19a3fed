"""The HEALTHCHECK of an image: requests /ping from the server in this container. A container that trains, or runs
something else, has no server and counts as healthy.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from byo_container.cli import default_command

TIMEOUT_S = 4


def main() -> None:
    words = [Path(os.fsdecode(word)).name for word in Path("/proc/1/cmdline").read_bytes().split(b"\0")]
    # Process 1 may also be docker's init, with the command among its arguments.
    serves = "serve" in words or ("byo-container" in words and "train" not in words and default_command() == "serve")
    if serves:
        ping(int(os.environ.get("SAGEMAKER_BIND_TO_PORT") or 8080))


def ping(port: int) -> None:
    """Exits with status 1 and the reason on stderr unless /ping answers 200."""
    url = f"http://127.0.0.1:{port}/ping"
    try:
        urllib.request.urlopen(url, timeout=TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        sys.exit(f"{url} answers {error.code}: {error.read(300).decode(errors='replace').strip()}")
    except OSError as error:
        sys.exit(f"{url}: {error}")


if __name__ == "__main__":
    main()
