"""What compiling has cost and gained, from measured seconds."""

from __future__ import annotations

import pytest

from byo_container.handlers.text_classification.training.compilation import measuring
from byo_container.handlers.text_classification.training.compilation.measuring import Account, Comparison, Steps

TWICE = Comparison(8, 100.0, 200.0)


def steps(**seconds: list[float]) -> Steps:
    """Passes over batches of 8 rows, by their length."""
    return Steps({(8, int(length[1:])): values for length, values in seconds.items()})


def test_only_batches_of_one_shape_are_compared() -> None:
    # That compiled steps were of shorter texts is no gain.
    found = measuring.compare(steps(_64=[4.0, 4.0], _32=[2.0]), steps(_32=[1.0], _8=[0.1] * 50))
    assert found == Comparison(passes=1, eager_rate=4.0, compiled_rate=8.0)
    assert found.speed == 2


def test_shapes_count_as_often_as_they_came_compiled() -> None:
    found = measuring.compare(steps(_64=[4.0], _32=[2.0]), steps(_64=[4.0], _32=[1.0, 1.0, 1.0]))
    assert found == Comparison(passes=4, eager_rate=32 / 10, compiled_rate=32 / 7)


def test_a_disturbed_pass_does_not_count() -> None:
    found = measuring.compare(steps(_32=[2.0, 2.0, 90.0]), steps(_32=[1.0, 70.0, 1.0]))
    assert found is not None
    assert found.speed == 2


def test_without_a_common_shape_there_is_no_comparison() -> None:
    assert measuring.compare(steps(_64=[4.0]), steps(_32=[1.0])) is None
    assert measuring.compare(Steps(), Steps()) is None


def test_compiling_is_paid_when_the_saved_seconds_equal_it() -> None:
    after = measuring.paid_after_seconds(TWICE, 40)
    assert after == 80  # 40 s of compiling, then 40 s in which 80 s of eager work are done
    assert measuring.saved_seconds(TWICE, rows=40 * 200) == 40
    assert measuring.paid_after_seconds(Comparison(8, 100.0, 99.0), 40) is None


PAID = "compiled: 2.00 times the speed (200.0 instead of 100.0 samples a second, forward and backward"


@pytest.mark.parametrize(
    ("account", "line"),
    [
        (Account("eager: compile=false"), "not compiled: compile=false"),
        (
            Account(
                "compiled", 40, 1, 2, 0, TWICE, rows=8000, eager_peak_bytes=900 * 10**6, compiled_peak_bytes=7 * 10**8
            ),
            f"{PAID}; peak memory 700 MB instead of 900); 40 s of compiling (2 recompiles) have paid after 1.3 minutes",
        ),
        (
            Account("compiled", 40, 1, 0, 3, TWICE, rows=7999),
            f"{PAID}); 40 s of compiling (0 recompiles, 3 from the cache beside the checkpoints) have not paid yet: "
            "they do after 1.3 minutes",
        ),
        (
            Account("compiled", 40, 1, 0, 0, Comparison(8, 100.0, 50.0), rows=10),
            "compiled: 0.50 times the speed (50.0 instead of 100.0 samples a second, forward and backward); 40 s of "
            "compiling (0 recompiles) have not paid: the compiled model is not faster",
        ),
        (
            Account("compiled", 40, 1),
            "compiled: 40 s of compiling (0 recompiles); too few steps to tell what it gains",
        ),
    ],
)
def test_line_of_the_log(account: Account, line: str) -> None:
    assert measuring.line(account) == line


def test_summary_has_the_cost_of_what_was_undone() -> None:
    account = Account("eager: it was slower", 40.04, 1, 0, 0, Comparison(8, 100.0, 50.0), rows=100)
    assert measuring.summary(account) == {
        "compiler": "eager: it was slower",
        "compiling_seconds": 40.0,
        "recompiles": 0,
        "compiler_cache_hits": 0,
        "eager_samples_per_second": 100.0,
        "compiled_samples_per_second": 50.0,
        "compiled_speed": 0.5,
        "seconds_saved_by_compiling": -41.0,
    }
    assert measuring.summary(Account("eager: compile=false")) == {"compiler": "eager: compile=false"}
