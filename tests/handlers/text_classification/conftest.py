"""What all tests of text classification need."""

from __future__ import annotations

import os

# Processes that share cores get in each other's way, and a tiny model gains nothing by threads.
os.environ["OMP_NUM_THREADS"] = "1"
