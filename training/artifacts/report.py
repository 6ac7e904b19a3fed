"""`python -m byo_container.training.artifacts.report STATUS`: writes output/data/report.html, one file that loads
nothing else.

It shows how the job went, its hyperparameters, what the training code has left in summary.json (a list of objects
there is a table of its own), the curves of metrics.csv, and the pictures (*.png) in output/data. What is read of each
file, the size of the report and the memory are limited; process 1 limits the time (collect.py).
"""

from __future__ import annotations

import base64
import contextlib
import heapq
import json
import os
import resource
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from byo_container.container.failure import JobError
from byo_container.container.files.atomic import replacing
from byo_container.container.files.reading import blocks_of_lines, names_in, open_regular, read_at_most
from byo_container.container.job import TrainingJob, read_job
from byo_container.container.log import configure, log
from byo_container.container.metrics import Row, read_rows
from byo_container.container.paths import Paths
from byo_container.training.artifacts import tensorboard
from byo_container.training.artifacts.curves import Curves, can_draw, clean, draw, group_by_measure, read_curves

TEMPLATE = Path(__file__).with_name("report.html")
MAX_MEMORY_BYTES = 300 << 20
MAX_METRICS_BYTES = 64 << 20
"""Bytes read of metrics.csv; of a larger file, parts from all over it."""
MAX_TEXT_BYTES = 1 << 20
"""Bytes read of summary.json and of the failure file, each."""
MAX_PICTURE_BYTES = 4 << 20
MAX_PICTURES_BYTES = 20 << 20
"""Of all pictures in the report; output/data, which is uploaded, has them anyway."""
MAX_PICTURE_NAMES = 1000
MAX_TABLE_ROWS = 500
MAX_TABLE_COLUMNS = 20
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Table:
    """A list of objects in summary.json: a row for each, a column for each key."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    """None where an object lacks a key."""
    more: bool
    """Whether rows or columns are left out."""

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]]) -> Table:
        """The columns are in the order in which their keys occur first."""
        first = records[:MAX_TABLE_ROWS]
        columns = list(dict.fromkeys(name for record in first for name in record))
        kept = columns[:MAX_TABLE_COLUMNS]
        rows = [[record.get(name) for name in kept] for record in first]
        return cls(kept, rows, len(records) > len(first) or len(columns) > len(kept))


@dataclass(frozen=True)
class Report:
    """What the report shows."""

    job: TrainingJob[dict[str, Any]]
    status: int
    failure: str
    summary: Mapping[str, Any]
    tables: Mapping[str, Table]
    curves: Curves
    pictures: Mapping[str, bytes]
    left_out: Sequence[str]
    """The names of files called *.png that are not shown: too large, or no pictures."""
    more_pictures: bool

    @classmethod
    def read(cls, paths: Paths, status: int) -> Report:
        """Reads what a job has left. Raises JobError."""
        names = heapq.nsmallest(MAX_PICTURE_NAMES + 1, names_in(paths.output_data, ".png"))
        summary = _read_summary(paths.summary)
        tables = {name: Table.of(value) for name, value in summary.items() if is_table(value)}
        pictures, left_out = _read_pictures(paths.output_data, names[:MAX_PICTURE_NAMES])
        return cls(
            job=read_job(paths),
            status=status,
            failure=_read_text(paths.failure) if status else "",
            summary={name: shown(value) for name, value in summary.items() if name not in tables},
            tables=tables,
            curves=read_curves(_read_metrics(paths.metrics)),
            pictures=pictures,
            left_out=left_out,
            more_pictures=len(names) > MAX_PICTURE_NAMES,
        )


def _read_metrics(path: Path) -> Iterator[Row]:
    with _skipped_if_unreadable(path):
        for block in blocks_of_lines(path, MAX_METRICS_BYTES):
            yield from read_rows(block.decode("utf-8", "replace"))


def _read_text(path: Path) -> str:
    with _skipped_if_unreadable(path):
        return read_at_most(path, MAX_TEXT_BYTES).decode("utf-8", "replace")
    return ""


def _read_summary(path: Path) -> dict[str, Any]:
    """The JSON object in summary.json; any other JSON value by the name `summary`."""
    try:
        value = json.loads(_read_text(path) or "{}")
        summary = value if isinstance(value, dict) else {"summary": value}
        for entry in summary.values():
            shown(entry)  # that of JSON which is nested too deep to be written again is noticed here
        return summary
    except (ValueError, RecursionError) as error:  # RecursionError: nested some thousand levels deep
        log.warning("%s is not JSON (%s), and is left out of the report", path, error)
        return {}


@contextlib.contextmanager
def _skipped_if_unreadable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("%s is left out of the report: %s", path, error.strerror)


def _read_pictures(folder: Path, names: Sequence[str]) -> tuple[dict[str, bytes], list[str]]:
    """The pictures by name, as many as MAX_PICTURES_BYTES allow, in the order of `names`; and the names of the rest."""
    pictures: dict[str, bytes] = {}
    left_out = []
    bytes_left = MAX_PICTURES_BYTES
    for name in names:
        data = _read_png(folder / name, min(bytes_left, MAX_PICTURE_BYTES))
        if data is None:
            left_out.append(name)
        else:
            pictures[name] = data
            bytes_left -= len(data)
    return pictures, left_out


def _read_png(path: Path, max_bytes: int) -> bytes | None:
    """The contents of a PNG file of at most `max_bytes`; None for any other file."""
    with contextlib.suppress(OSError), open_regular(path) as stream:
        if os.fstat(stream.fileno()).st_size <= max_bytes:
            data = stream.read(max_bytes)
            return data if data.startswith(PNG) else None
    return None


def is_table(value: Any) -> bool:
    """Whether a value of summary.json is shown as a table: a list of objects."""
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def shown(value: Any) -> str:
    """A value as the report's tables show it: numbers with separators, lists and objects as JSON."""
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _clean_text(value: Any) -> Any:
    """What the template engine does to each value before it escapes it; what a macro returns has gone through it."""
    return clean(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def render(report: Report) -> Iterator[str]:
    """The HTML of the report, in parts. Every value is cleaned and escaped by the template engine."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, finalize=_clean_text, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(
        shown=shown,
        base64=lambda data: base64.b64encode(data).decode(),
        url=lambda name: quote(os.fsencode(name)),  # a file's name may be no UTF-8
    )
    job = report.job
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).generate(
        vars(report),
        title=str(job.platform.get("sagemaker_job_name") or os.environ.get("TRAINING_JOB_NAME") or "Training job"),
        can_draw=can_draw(),
        charts=_charts(report.curves),
        hyperparameters={**job.texts, **job.launcher},
        hosts={"hosts": ", ".join(job.hosts.all), "instance type": job.hosts.instance_type},
    )


def _charts(curves: Curves) -> Iterator[tuple[str, str | None]]:
    """The title of each chart and its picture as a data URI; None where it cannot be drawn."""
    for title, group in group_by_measure(curves).items():
        try:
            yield title, draw(title, group)
        except (ArithmeticError, ValueError) as error:
            log.warning("the curve of %s cannot be drawn: %s", title, error)
            yield title, None


@contextlib.contextmanager
def _limited_memory() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = min(limit for limit in (MAX_MEMORY_BYTES, soft, hard) if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    except MemoryError:
        raise JobError(f"it would take more than {MAX_MEMORY_BYTES >> 20} MiB of memory") from None
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def main(status: int) -> int:
    """Writes the report of the job below SAGEMAKER_BASE_DIR, which ended with `status`."""
    configure()
    # Process 1 stops a report that takes too long. Raising here removes the unfinished file.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("there is no report: it was stopped by SIGTERM"))
    paths = Paths.from_environment()
    with _limited_memory(), replacing(paths.report) as stream:
        stream.writelines(render(Report.read(paths, status)))
    log.info("the report is %s", paths.report)
    if tensorboard.is_installed():
        tensorboard.complete(_read_metrics(paths.metrics), paths.tensorboard)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(int(sys.argv[1])))
    except (OSError, JobError) as error:
        sys.exit(f"there is no report: {error}")
