"""Reads GET /metrics, and checks that it is in Prometheus' text format."""

from __future__ import annotations

import re

from tests.serving.support.server import Server

LINE = re.compile(r'([a-z_]+)(\{(?:[a-z]+="[^"]*",?)+\})? (\d+(?:\.\d+)?(?:e[+-]\d+)?)')


def measured(server: Server) -> dict[str, float]:
    """Every sample, by its name and labels; the format is checked line by line."""
    answer = server.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found, described = {}, set()
    for line in answer.text.splitlines():
        if line.startswith("# "):
            described.add(line.split()[2])
            continue
        match = LINE.fullmatch(line)
        assert match, line
        name = match[1]
        assert name in described or re.sub("_(bucket|sum|count)$", "", name) in described, line
        found[name + (match[2] or "")] = float(match[3])
    return found
