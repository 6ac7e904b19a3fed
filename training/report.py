"""`python -m training.report STATUS`: writes output/data/report.html, one file that needs nothing else to be looked at.

It shows how the job went, its hyperparameters, what the training code has left in summary.json, the curves of
metrics.csv, and every picture (*.png) in output/data.
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from container import log
from container.failure import JobError
from container.handler import write_atomically
from container.job import TrainingJob, read_job
from container.metrics import Row, read_rows
from container.paths import Paths
from training import tensorboard

MOST_POINTS = 400  # of a curve: what a picture can show
MOST_CURVES = 200
MOST_PICTURE_BYTES = 4 << 20
SPLIT = re.compile(
    r"^(train|training|valid|validation|val|test|eval)[_/]|[_/](train|training|valid|validation|val|test)$"
)
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222 }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse } td, th { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums } tr + tr { border-top: 1px solid #ddd }
pre { background: #f6e9e9; padding: .6rem; white-space: pre-wrap } img { max-width: 100% }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(30rem, 1fr)); gap: 1rem }
"""


@dataclass(frozen=True)
class Report:
    """What there is to show."""

    job: TrainingJob[dict[str, Any]]
    status: int
    failure: str
    rows: Sequence[Row]
    summary: Mapping[str, Any]
    pictures: Sequence[Path]

    @classmethod
    def read(cls, paths: Paths, status: int) -> Report:
        """From what the job has left. Raises JobError."""
        return cls(
            job=read_job(paths),
            status=status,
            failure=_text(paths.failure) if status else "",
            rows=read_rows(_text(paths.metrics)),
            summary=_summary(paths.summary),
            pictures=sorted(paths.output_data.glob("*.png")),
        )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _summary(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_text(path) or "{}")
    except ValueError as error:
        log.log.warning("%s is not JSON (%s), and is left out of the report", path, error)
        return {}
    return value if isinstance(value, dict) else {"summary": value}


def page(report: Report) -> str:
    """The whole report, as HTML."""
    job = report.job
    title = str(job.platform.get("sagemaker_job_name") or os.environ.get("TRAINING_JOB_NAME") or "Training job")
    ended = "finished" if report.status == 0 else f"ended with status {report.status}"
    parts = [
        f"<h1>{escape(title)}: {ended}</h1>",
        f"<pre>{escape(report.failure)}</pre>" if report.failure else "",
        _section("Summary", _table(report.summary)),
        _section("Metrics", _metrics_table(report.rows)),
        _section("Curves", _curves(report.rows)),
        _section("Pictures", "".join(_picture(path) for path in report.pictures)),
        _section("Hyperparameters", _table({**job.texts, **job.launcher})),
        _section("Hosts", _table({"hosts": ", ".join(job.hosts.all), "instance type": job.hosts.instance_type})),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _section(title: str, content: str) -> str:
    return f"<h2>{title}</h2>\n{content}" if content else ""


def _table(values: Mapping[str, Any]) -> str:
    rows = [f"<tr><th>{escape(name)}</th><td>{escape(_shown(value))}</td></tr>" for name, value in values.items()]
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def series(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each metric, by name, in the order in which they came."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.metric].append(row)
    return dict(list(found.items())[:MOST_CURVES])


def _metrics_table(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    heads = "".join(f'<th class="number">{head}</th>' for head in ("last", "least", "most", "values"))
    lines = [f"<tr><th>metric</th>{heads}</tr>"]
    for name, curve in series(rows).items():
        values = [row.value for row in curve if math.isfinite(row.value)] or [math.nan]
        figures = (_shown(curve[-1].value), _shown(min(values)), _shown(max(values)), _shown(len(curve)))
        cells = "".join(f'<td class="number">{figure}</td>' for figure in figures)
        lines.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def charts(rows: Sequence[Row]) -> dict[str, dict[str, list[Row]]]:
    """Which curves share a picture: those of the same measure, of training and of validation."""
    found: dict[str, dict[str, list[Row]]] = defaultdict(dict)
    for name, curve in series(rows).items():
        found[SPLIT.sub("", name)][name] = curve
    return dict(found)


def thinned(curve: Sequence[Row]) -> list[Row]:
    """At most MOST_POINTS of the rows, evenly, the last among them."""
    stride = -(-len(curve) // MOST_POINTS)
    return list(reversed(list(reversed(curve))[::stride]))


def _curves(rows: Sequence[Row]) -> str:
    pictures = [_chart(name, curves) for name, curves in charts(rows).items()]
    return f'<div class="curves">{"".join(pictures)}</div>' if pictures else ""


def _chart(name: str, curves: Mapping[str, Sequence[Row]]) -> str:
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
    for metric, curve in curves.items():
        points = [(row.step, row.value if math.isfinite(row.value) else None) for row in thinned(curve)]
        chart.add(metric, points, show_dots=len(points) < 60)
    return f'<img alt="{escape(name)}" src="{chart.render_data_uri()}">'


def _picture(path: Path) -> str:
    if path.stat().st_size > MOST_PICTURE_BYTES:
        return f"<p>{escape(path.name)} is too large to be shown here</p>"
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<p><img alt="{escape(path.name)}" src="data:image/png;base64,{data}"></p>'


def main(status: int) -> int:
    """Writes the report of the job below SAGEMAKER_BASE_DIR, which ended with `status`."""
    log.configure()
    paths = Paths.from_environment()
    write_atomically(paths.report, page(Report.read(paths, status)))
    log.log.info("the report is %s", paths.report)
    if tensorboard.is_installed():
        tensorboard.complete(paths.metrics, paths.tensorboard)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(int(sys.argv[1])))
    except (OSError, JobError) as error:
        sys.exit(f"there is no report: {error}")
