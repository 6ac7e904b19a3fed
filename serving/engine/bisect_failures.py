"""A batch that fails is tried again in halves, so that one poisoned request fails alone.

With one bad request of n this takes at most 2·log2(n) calls more, with all of them bad 2·n - 2. So `predict` must
not mind being called again with a part of what it has seen. What cannot be told apart is who is to blame for a
call that never returns, or that takes the process with it: such a batch fails as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from byo_container.serving.metrics import prometheus


def outcomes(compute: Callable[[list[Any]], list[Any]], items: list[Any]) -> list[Any]:
    """What `compute` returns for each item, or the exception that it raised for that item by itself."""
    try:
        return compute(items)
    except BaseException as error:  # such as pyo3's PanicException, which is no Exception; in compute threads only
        if len(items) == 1:
            return [error]
    prometheus.split_batches.add_locked()
    half = len(items) // 2
    return [*outcomes(compute, items[:half]), *outcomes(compute, items[half:])]
