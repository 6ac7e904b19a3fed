"""The curves of a job's metrics: thinned, grouped, and drawn by pygal."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from byo_container.container.metrics import Row

MAX_POINTS = 400
"""Points of a curve; a picture cannot show more."""
MAX_CURVES = 200
DATASET = re.compile(
    r"^(train|training|valid|validation|val|test|eval)[_/]|[_/](train|training|valid|validation|val|test)$"
)
"""What a metric's name says of the data that it was measured on: `val_` in `val_loss`."""
# What SVG and HTML cannot hold: control characters, surrogates and noncharacters.
NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """`text` with every character that SVG and HTML cannot hold replaced."""
    return NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", text)


@dataclass
class Curve:
    """The values of one metric: their number, the last, the least and the greatest, and enough points for a picture.
    It takes the same memory however many values there are."""

    count: int = 0
    last: float = math.nan
    least: float = math.inf
    greatest: float = -math.inf
    _points: list[tuple[float, float]] = field(default_factory=list)
    _stride: int = 1
    _end: tuple[float, float] = (0, math.nan)

    def add(self, row: Row) -> None:
        if self.count % self._stride == 0:
            self._points.append((row.step, row.value))
        if len(self._points) == 2 * MAX_POINTS:
            del self._points[1::2]
            self._stride *= 2
        self.count += 1
        self.last, self._end = row.value, (row.step, row.value)
        if math.isfinite(row.value):
            self.least, self.greatest = min(self.least, row.value), max(self.greatest, row.value)

    def points(self) -> list[tuple[float, float]]:
        """At most MAX_POINTS pairs of step and value, evenly spaced, the last value among them."""
        points = self._points if self._points[-1:] == [self._end] else [*self._points, self._end]
        stride = -(-len(points) // MAX_POINTS)
        return points[::-1][::stride][::-1]

    def figures(self) -> tuple[float, float, float, int]:
        """Last, least, greatest and number; not-a-number where no value was finite."""
        finite = self.least <= self.greatest
        return self.last, self.least if finite else math.nan, self.greatest if finite else math.nan, self.count


Curves = Mapping[str, Curve]


def read_curves(rows: Iterable[Row]) -> dict[str, Curve]:
    """The curve of each metric by name, in the order of their first values."""
    curves: dict[str, Curve] = {}
    for row in rows:
        if row.metric in curves or len(curves) < MAX_CURVES:
            curves.setdefault(row.metric, Curve()).add(row)
    return curves


def group_by_measure(curves: Curves) -> dict[str, dict[str, Curve]]:
    """Which curves share a picture: `train_loss` and `val_loss` are both in the picture of `loss`."""
    groups: dict[str, dict[str, Curve]] = defaultdict(dict)
    for name, curve in curves.items():
        groups[DATASET.sub("", name)][name] = curve
    return dict(groups)


def can_draw() -> bool:
    """Whether pygal is installed, which an image that only serves does not need."""
    try:
        import pygal  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


def draw(title: str, curves: Curves) -> str:
    """A picture of the curves, as an SVG data URI. Raises ArithmeticError or ValueError for values that pygal cannot
    draw, such as 1e308 beside -1e308."""
    import pygal

    chart = pygal.XY(
        js=[],  # pygal's default is a script from another server
        title=clean(title),
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
    round_step, round_value = _rounding(steps), _rounding(values)
    for metric, curve in curves.items():
        points = [
            (round_step(step), round_value(value) if math.isfinite(value) else None) for step, value in curve.points()
        ]
        chart.add(clean(metric), points, show_dots=len(points) < 60)
    return str(chart.render_data_uri())


def _rounding(numbers: Iterable[float]) -> Callable[[float], float]:
    """How to round the numbers of an axis. Numbers that differ by less than a billionth become the same: pygal walks
    the axis in steps, and would never end where a step is too small to change the number that it is added to."""
    finite = [number for number in numbers if math.isfinite(number)] or [0.0]
    least, greatest = min(finite), max(finite)
    if greatest - least < 1e-9 * max(abs(least), abs(greatest)):
        return lambda number: least
    return lambda number: number
