"""Serves the line: JSON `[x, …]` or CSV with an x in each row, and the same back."""

import json
from pathlib import Path


def model_fn(model_dir):
    return json.loads(Path(model_dir, "line.json").read_text())


def input_fn(data, content_type):
    if content_type == "text/csv":
        return [float(row) for row in data.split()]
    return [float(x) for x in json.loads(data)]


def predict_fn(xs, line):
    return [line["slope"] * x + line["intercept"] for x in xs]


def output_fn(ys, accept):
    if accept.startswith("text/csv"):
        return "".join(f"{y}\n" for y in ys), "text/csv"
    return json.dumps(ys), "application/json"
