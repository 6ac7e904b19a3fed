"""GET /metrics in Prometheus' text format.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from byo_container.serving.metrics import prometheus
from byo_container.serving.metrics.prometheus import Histogram, Number, table
from byo_container.serving.metrics.shared_table import Row
from byo_container.serving.metrics.worker_state import WorkerRow, WorkerState, present_workers

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render() -> str:
    """All metrics: counters and histograms summed over the processes, gauges by worker."""
    rows = table.rows
    counters = (prometheus.split_batches, prometheus.restarts, prometheus.rolled)
    lines = [
        *_family("counter", [number for number in prometheus.requests.values() if number.total(rows)], rows),
        *_family("histogram", [prometheus.request_seconds], rows),
        *_family("histogram", list(prometheus.stages.values()), rows),
        *_family("histogram", [prometheus.batch_inputs], rows),
        *(line for number in counters for line in _family("counter", [number], rows)),
        *_gauges(present_workers()),
    ]
    return "\n".join(lines) + "\n"


def _family(kind: str, members: Sequence[Number | Histogram], rows: Sequence[Row]) -> Iterator[str]:
    if not members:
        return
    yield from _head(members[0].name, members[0].text, kind)
    for member in members:
        if isinstance(member, Histogram):
            yield from _histogram(member, rows)
        else:
            yield f"{member.name}{'{' + member.labels + '}' if member.labels else ''} {_text(member.total(rows))}"


def _histogram(histogram: Histogram, rows: Sequence[Row]) -> Iterator[str]:
    name, labels = histogram.name, histogram.labels
    counts = list(accumulate(histogram.counts(rows)))
    for bound, count in zip((*map(_text, histogram.bounds), "+Inf"), counts, strict=True):
        yield f'{name}_bucket{{{labels + "," if labels else ""}le="{bound}"}} {_text(count)}'
    end = f"{{{labels}}}" if labels else ""
    yield f"{name}_sum{end} {histogram.sum(rows):.6f}"
    yield f"{name}_count{end} {_text(counts[-1])}"


def _gauges(workers: Sequence[WorkerRow]) -> Iterator[str]:
    yield from _head("byo_workers_ready", "Workers that can answer.", "gauge")
    yield f"byo_workers_ready {sum(worker.state == WorkerState.READY for worker in workers)}"
    for gauge in (prometheus.waiting, prometheus.computing, prometheus.models):
        yield from _head(gauge.name, gauge.text, "gauge")
        for worker in workers:
            yield f'{gauge.name}{{pid="{worker.pid}"}} {_text(worker.value(gauge))}'


def _head(name: str, text: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _text(value: float) -> str:
    return f"{value:.10g}"
