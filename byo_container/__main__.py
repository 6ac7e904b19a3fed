"""`python -m byo_container train`, where the command `byo-container` is not on the PATH."""

from __future__ import annotations

import sys

from byo_container.cli import main

if __name__ == "__main__":
    sys.exit(main())
