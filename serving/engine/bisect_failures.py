"""Re-runs a failing batch by bisection, so that only the bad request fails.

With one bad request of n this takes at most 2·log2(n) more calls, with all of them bad 2·n - 2. So `predict` must be
able to run again on a part of what it was called with. A call that never returns, or that ends the process, cannot be
bisected: such a batch fails as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from byo_container.serving.metrics import prometheus


def run(compute: Callable[[list[Any]], list[Any]], items: list[Any]) -> list[Any]:
    """What `compute` returns for each item, or the exception that it raised for that item alone."""
    try:
        return compute(items)
    except BaseException as error:  # such as pyo3's PanicException, which is no Exception; in compute threads only
        if len(items) == 1:
            return [error]
    prometheus.split_batches.add_locked()
    half = len(items) // 2
    return [*run(compute, items[:half]), *run(compute, items[half:])]
