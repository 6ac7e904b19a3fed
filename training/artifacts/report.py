"""`python -m byo_container.training.artifacts.report STATUS`: writes output/data/report.html, one file that
needs nothing else to be looked at.

It shows how the job went, its hyperparameters, what the training code has left in summary.json, the curves of
metrics.csv, and the pictures (*.png) in output/data. Whatever lies there, it is bounded: in what is read of each file,
in size, and in memory. Its time is process 1's to bound (records.py).
"""

from __future__ import annotations

import base64
import contextlib
import heapq
import json
import math
import os
import re
import resource
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from byo_container.container import log
from byo_container.container.failure import JobError
from byo_container.container.files.atomic import replacing
from byo_container.container.files.reading import blocks_of_lines, names_in, open_regular, read_at_most
from byo_container.container.job import TrainingJob, read_job
from byo_container.container.metrics import Row, read_rows
from byo_container.container.paths import Paths
from byo_container.training.artifacts import tensorboard

MOST_MEMORY = 300 << 20
MOST_METRICS_BYTES = 64 << 20  # of metrics.csv; of a larger one, parts from all over it
MOST_TEXT_BYTES = 1 << 20  # of summary.json and of the failure file
MOST_POINTS = 400  # of a curve: what a picture can show
MOST_CURVES = 200
MOST_PICTURE_BYTES = 4 << 20
MOST_PICTURES_BYTES = 20 << 20  # in all: output/data is uploaded, and has them already
MOST_NAMED = 1000  # pictures
PNG = b"\x89PNG\r\n\x1a\n"
SPLIT = re.compile(
    r"^(train|training|valid|validation|val|test|eval)[_/]|[_/](train|training|valid|validation|val|test)$"
)
# What HTML and SVG cannot hold: control characters, halves of surrogate pairs, and what is no character.
NO_TEXT = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222 }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse } td, th { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums } tr + tr { border-top: 1px solid #ddd }
pre { background: #f6e9e9; padding: .6rem; white-space: pre-wrap } img { max-width: 100% }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(30rem, 1fr)); gap: 1rem }
"""


@dataclass
class Curve:
    """The values of one metric: how many, the last, the least and the most of them, and points enough for a picture,
    however many there are."""

    count: int = 0
    last: float = math.nan
    least: float = math.inf
    most: float = -math.inf
    _points: list[tuple[float, float]] = field(default_factory=list)
    _stride: int = 1
    _end: tuple[float, float] = (0, math.nan)

    def add(self, row: Row) -> None:
        if self.count % self._stride == 0:
            self._points.append((row.step, row.value))
        if len(self._points) == 2 * MOST_POINTS:
            del self._points[1::2]
            self._stride *= 2
        self.count += 1
        self.last, self._end = row.value, (row.step, row.value)
        if math.isfinite(row.value):
            self.least, self.most = min(self.least, row.value), max(self.most, row.value)

    def points(self) -> list[tuple[float, float]]:
        """At most MOST_POINTS pairs of step and value, evenly, the last among them."""
        points = self._points if self._points[-1:] == [self._end] else [*self._points, self._end]
        stride = -(-len(points) // MOST_POINTS)
        return points[::-1][::stride][::-1]


Curves = Mapping[str, Curve]


def curves_of(rows: Iterable[Row]) -> dict[str, Curve]:
    """The curve of each metric, by name, in the order in which they came."""
    found: dict[str, Curve] = {}
    for row in rows:
        if row.metric in found or len(found) < MOST_CURVES:
            found.setdefault(row.metric, Curve()).add(row)
    return found


@dataclass(frozen=True)
class Report:
    """What there is to show."""

    job: TrainingJob[dict[str, Any]]
    status: int
    failure: str
    curves: Curves
    summary: Mapping[str, str]
    pictures: Sequence[Path]

    @classmethod
    def read(cls, paths: Paths, status: int) -> Report:
        """From what the job has left. Raises JobError."""
        names = names_in(paths.output_data, ".png")
        return cls(
            job=read_job(paths),
            status=status,
            failure=_text(paths.failure) if status else "",
            curves=curves_of(_rows(paths.metrics)),
            summary=_summary(paths.summary),
            pictures=[paths.output_data / name for name in heapq.nsmallest(MOST_NAMED + 1, names)],
        )


def _rows(path: Path) -> Iterator[Row]:
    with _left_out_if_unreadable(path):
        for block in blocks_of_lines(path, MOST_METRICS_BYTES):
            yield from read_rows(block.decode("utf-8", "replace"))


def _text(path: Path) -> str:
    with _left_out_if_unreadable(path):
        return read_at_most(path, MOST_TEXT_BYTES).decode("utf-8", "replace")
    return ""


def _summary(path: Path) -> dict[str, str]:
    try:
        value = json.loads(_text(path) or "{}")
        return {name: _shown(one) for name, one in (value if isinstance(value, dict) else {"summary": value}).items()}
    except (ValueError, RecursionError) as error:  # the latter where lists stand in lists, a thousand deep
        log.log.warning("%s is not JSON (%s), and is left out of the report", path, error)
        return {}


@contextlib.contextmanager
def _left_out_if_unreadable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as error:
        log.log.warning("%s is left out of the report: %s", path, error.strerror)


def clean(text: str) -> str:
    """`text` as HTML and SVG can hold it, wherever it came from."""
    return NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", text)


def _html(text: str) -> str:
    return escape(clean(text))


def page(report: Report) -> Iterator[str]:
    """The whole report, as HTML, part after part."""
    job = report.job
    title = str(job.platform.get("sagemaker_job_name") or os.environ.get("TRAINING_JOB_NAME") or "Training job")
    ended = "finished" if report.status == 0 else f"ended with status {report.status}"
    head = f'<meta charset="utf-8"><title>{_html(title)}</title><style>{STYLE}</style>'
    yield f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n<h1>{_html(title)}: {ended}</h1>\n'
    if report.failure:
        yield f"<pre>{_html(report.failure)}</pre>\n"
    yield from _section("Summary", _table(report.summary))
    yield from _section("Metrics", _metrics_table(report.curves))
    yield from _section("Curves", _charts(report.curves))
    yield from _section("Pictures", _pictures(report.pictures))
    yield from _section("Hyperparameters", _table({**job.texts, **job.launcher}))
    yield from _section("Hosts", _table({"hosts": ", ".join(job.hosts.all), "instance type": job.hosts.instance_type}))
    yield "</body></html>\n"


def _section(title: str, content: Iterable[str]) -> Iterator[str]:
    for number, part in enumerate(content):
        yield f"<h2>{title}</h2>\n{part}" if number == 0 else part


def _table(values: Mapping[str, Any]) -> Iterator[str]:
    rows = [f"<tr><th>{_html(name)}</th><td>{_html(_shown(value))}</td></tr>" for name, value in values.items()]
    if rows:
        yield f"<table>{''.join(rows)}</table>\n"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _metrics_table(curves: Curves) -> Iterator[str]:
    if not curves:
        return
    heads = "".join(f'<th class="number">{head}</th>' for head in ("last", "least", "most", "values"))
    yield f"<table><tr><th>metric</th>{heads}</tr>\n"
    for name, curve in curves.items():
        extremes = (curve.least, curve.most) if curve.least <= curve.most else (math.nan, math.nan)
        cells = "".join(f'<td class="number">{_shown(figure)}</td>' for figure in (curve.last, *extremes, curve.count))
        yield f"<tr><th>{_html(name)}</th>{cells}</tr>\n"
    yield "</table>\n"


def charts(curves: Curves) -> dict[str, dict[str, Curve]]:
    """Which curves share a picture: those of the same measure, of training and of validation."""
    found: dict[str, dict[str, Curve]] = defaultdict(dict)
    for name, curve in curves.items():
        found[SPLIT.sub("", name)][name] = curve
    return dict(found)


def _charts(curves: Curves) -> Iterator[str]:
    if not curves:
        return
    yield '<div class="curves">'
    for name, shown in charts(curves).items():
        try:
            yield _chart(clean(name), shown)
        except (ArithmeticError, ValueError) as error:  # the library fails on some values, such as 1e308 beside -1e308
            log.log.warning("the curve of %s cannot be drawn: %s", name, error)
            yield f"<p>{_html(name)} cannot be drawn</p>"
    yield "</div>\n"


def _chart(name: str, curves: Curves) -> str:
    import pygal

    chart = pygal.XY(
        js=[],  # which would come from elsewhere
        title=name,
        x_title="step",
        width=720,
        height=420,
        dots_size=2,
        legend_at_bottom=True,
        stroke_style={"width": 2},
        style=pygal.style.Style(
            font_family="sans-serif",
            background="white",
            plot_background="white",
            guide_stroke_color="#ddd",
            major_guide_stroke_color="#ddd",
            colors=("#1f6fb4", "#d9582b", "#2f9e57", "#8a5fb5", "#b58a1f", "#555555"),
        ),
    )
    steps, values = zip(*(point for curve in curves.values() for point in curve.points()), strict=True)
    place, height = _rounding(steps), _rounding(values)
    for metric, curve in curves.items():
        points = [(place(step), height(value) if math.isfinite(value) else None) for step, value in curve.points()]
        chart.add(clean(metric), points, show_dots=len(points) < 60)
    return f'<img alt="{_html(name)}" src="{chart.render_data_uri()}">'


def _rounding(numbers: Iterable[float]) -> Callable[[float], float]:
    """How the numbers of an axis are rounded: those that differ by less than a billionth become the same. The library
    would go from the least to the most by steps so small that, added to either, they change nothing, for ever."""
    finite = [number for number in numbers if math.isfinite(number)] or [0.0]
    least, most = min(finite), max(finite)
    if most - least < 1e-9 * max(abs(least), abs(most)):
        return lambda number: least
    return lambda number: number


def _pictures(paths: Sequence[Path]) -> Iterator[str]:
    """Those for which there is room, in the order of their names, and the names of the others."""
    room, others = MOST_PICTURES_BYTES, []
    for path in paths[:MOST_NAMED]:
        data = _picture(path, min(room, MOST_PICTURE_BYTES))
        if data is None:
            others.append(path.name)
            continue
        room -= len(data)
        yield f'<p><img alt="{_html(path.name)}" src="data:image/png;base64,{base64.b64encode(data).decode()}"></p>\n'
    if others:
        names = ", ".join(f'<a href="{quote(os.fsencode(name))}">{_html(name)}</a>' for name in others)
        yield f"<p>Not shown here, for want of room or because they are no PNG: {names}</p>\n"
    if len(paths) > MOST_NAMED:
        yield "<p>There are more.</p>\n"


def _picture(path: Path, most: int) -> bytes | None:
    """A picture's file, None for what is none, or larger than `most` bytes."""
    with contextlib.suppress(OSError), open_regular(path) as stream:
        if os.fstat(stream.fileno()).st_size <= most:
            data = stream.read(most)
            return data if data.startswith(PNG) else None
    return None


@contextlib.contextmanager
def _limited_memory() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    least = min(limit for limit in (MOST_MEMORY, soft, hard) if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_DATA, (least, hard))
    try:
        yield
    except MemoryError:
        raise JobError(f"it would take more than {MOST_MEMORY >> 20} MiB of memory") from None
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def main(status: int) -> int:
    """Writes the report of the job below SAGEMAKER_BASE_DIR, which ended with `status`."""
    log.configure()
    # Process 1 has no more time for us: half a report must not stay.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("there is no report: it was stopped by SIGTERM"))
    paths = Paths.from_environment()
    with _limited_memory(), replacing(paths.report) as stream:
        stream.writelines(page(Report.read(paths, status)))
    log.log.info("the report is %s", paths.report)
    if tensorboard.is_installed():
        tensorboard.complete(_rows(paths.metrics), paths.tensorboard)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(int(sys.argv[1])))
    except (OSError, JobError) as error:
        sys.exit(f"there is no report: {error}")
