"""A failing batch is re-run by bisection."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from byo_container.serving.engine import bisect_failures


@given(st.sets(st.integers(0, 31)))
def test_bisection_isolates_failures_in_few_calls(poisoned: set[int]) -> None:
    calls = 0

    def compute(items: list[int]) -> list[int]:
        nonlocal calls
        calls += 1
        if poisoned & set(items):
            raise ValueError("poisoned")
        return items

    outcomes = bisect_failures.run(compute, list(range(32)))
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, ValueError)] == sorted(poisoned)
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == sorted(set(range(32)) - poisoned)
    assert calls <= (11 if len(poisoned) == 1 else 63)
