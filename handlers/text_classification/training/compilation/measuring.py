"""What compiling has cost and gained: pure functions of measured steps.

How long a step takes depends on the padded length of its batch, which varies. So eager and compiled steps are compared
only where both have seen batches of the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

Shape = tuple[int, int]
"""Rows of a batch, and the length that they are padded to."""


@dataclass
class Steps:
    """Measured seconds of forward and backward passes, by shape."""

    seconds: dict[Shape, list[float]] = field(default_factory=dict)

    def add(self, shape: Shape, seconds: float) -> None:
        """Notes one pass."""
        self.seconds.setdefault(shape, []).append(seconds)

    @property
    def count(self) -> int:
        return sum(map(len, self.seconds.values()))


@dataclass(frozen=True)
class Comparison:
    """Eager and compiled passes over the same batches; rates are samples a second, forward and backward."""

    passes: int
    """Compiled passes that it rests on."""
    eager_rate: float
    compiled_rate: float

    @property
    def speed(self) -> float:
        """How many times as fast the compiled model is."""
        return self.compiled_rate / self.eager_rate


def compare(eager: Steps, compiled: Steps) -> Comparison | None:
    """None where no shape was measured both ways. A shape counts as often as it came compiled; of its passes the median
    counts, as other processes disturb some."""
    shared = eager.seconds.keys() & compiled.seconds.keys()
    counts = {shape: len(compiled.seconds[shape]) for shape in shared}
    rows = sum(shape[0] * count for shape, count in counts.items())
    if not rows:
        return None
    eager_s = sum(median(eager.seconds[shape]) * count for shape, count in counts.items())
    compiled_s = sum(median(compiled.seconds[shape]) * count for shape, count in counts.items())
    return Comparison(sum(counts.values()), rows / eager_s, rows / compiled_s)


def saved_seconds(comparison: Comparison, rows: int) -> float:
    """What `rows` samples have taken less than they would have without the compiler; negative where it was slower."""
    return rows / comparison.eager_rate - rows / comparison.compiled_rate


def paid_after_seconds(comparison: Comparison, compiling_s: float) -> float | None:
    """How long after the compiler was started its seconds are won back; None where it is not faster."""
    if comparison.speed <= 1:
        return None
    return compiling_s + compiling_s / (comparison.speed - 1)


@dataclass(frozen=True)
class Account:
    """What the log and summary.json tell of the compiler."""

    state: str
    """`compiled`, or `eager` with the reason."""
    compiling_s: float = 0.0
    graphs: int = 0
    """Compiled when the first batch came."""
    recompiles: int = 0
    """Compiled later, for a batch to which those before do not apply."""
    cache_hits: int = 0
    comparison: Comparison | None = None
    rows: int = 0
    """Trained on compiled, by this rank."""
    eager_peak_bytes: int | None = None
    compiled_peak_bytes: int | None = None
    memory: str = "memory"
    """Whose peak it is: that of the GPU, or of the process."""


def line(account: Account) -> str:
    """The account in one line of the log."""
    found = account.comparison
    if not account.graphs:
        return f"not compiled: {account.state.removeprefix('eager: ')}"
    hits = f", {account.cache_hits} from the cache beside the checkpoints" if account.cache_hits else ""
    cost = f"{account.compiling_s:.0f} s of compiling ({account.recompiles} recompiles{hits})"
    if found is None:
        return f"{account.state}: {cost}; too few steps to tell what it gains"
    rates = f"{found.compiled_rate:,.1f} instead of {found.eager_rate:,.1f} samples a second, forward and backward"
    peaks = ""
    if account.eager_peak_bytes and account.compiled_peak_bytes:
        before, after = account.eager_peak_bytes / 1e6, account.compiled_peak_bytes / 1e6
        peaks = f"; peak {account.memory} {after:,.0f} MB instead of {before:,.0f}"
    return f"{account.state}: {found.speed:.2f} times the speed ({rates}{peaks}); {cost} {_balance(account, found)}"


def _balance(account: Account, found: Comparison) -> str:
    after = paid_after_seconds(found, account.compiling_s)
    if after is None:
        return "have not paid: the compiled model is not faster"
    minutes = f"{after / 60:.1f} minutes"
    if saved_seconds(found, account.rows) >= account.compiling_s:
        return f"have paid after {minutes}"
    return f"have not paid yet: they do after {minutes}"


def summary(account: Account) -> dict[str, object]:
    """The account for summary.json. A megabyte is a million bytes."""
    values: dict[str, object] = {"compiler": account.state}
    if not account.graphs:
        return values
    values |= {
        "compiling_seconds": round(account.compiling_s, 1),
        "recompiles": account.recompiles,
        "compiler_cache_hits": account.cache_hits,
    }
    for name, peak in (("eager", account.eager_peak_bytes), ("compiled", account.compiled_peak_bytes)):
        if peak:
            values[f"{name}_peak_megabytes"] = round(peak / 1e6, 1)
    if found := account.comparison:
        after = paid_after_seconds(found, account.compiling_s)
        values |= {
            "eager_samples_per_second": round(found.eager_rate, 1),
            "compiled_samples_per_second": round(found.compiled_rate, 1),
            "compiled_speed": round(found.speed, 3),
            "seconds_saved_by_compiling": round(saved_seconds(found, account.rows) - account.compiling_s, 1),
        }
        if after is not None:
            values["compiling_pays_after_minutes"] = round(after / 60, 1)
    return values
