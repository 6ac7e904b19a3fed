"""The HTML report, written by its own process from whatever a job has left."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from byo_container.container.files import reading
from byo_container.training.artifacts import curves, report
from tests.support.processes import wait_until
from tests.support.tree import Tree, write_files
from tests.training.support.artifacts import PIXEL, PRINTS_METRICS, run_report

MakeTree = Callable[..., Tree]


def test_pictures_and_summary_are_shown(ml: MakeTree) -> None:
    code = f"""
import json, pathlib, os
folder = pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"])
(folder / "confusion.png").write_bytes(bytes.fromhex("{PIXEL.hex()}"))
(folder / "summary.json").write_text(json.dumps({{"updates": 12345, "files": ["a"]}}))
"""
    tree = ml(code={"train.py": code})
    assert tree.train().status == 0
    page = tree.paths.report.read_text()
    assert '<img alt="confusion.png" src="data:image/png;base64,' in page
    assert "<th>updates</th><td>12,345</td>" in page
    # One file that asks for nothing from anywhere.
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []


def test_a_list_of_objects_in_the_summary_is_a_table(ml: MakeTree) -> None:
    tree = ml()
    tree.paths.output_data.mkdir(parents=True)
    records = [{"text": "<script>1</script>", "probability": 0.5}, {"text": "b", "more": None}]
    many = [{f"column {number}": row for number in range(30)} for row in range(1000)]
    tree.paths.summary.write_text(json.dumps({"steps": 3, "mistakes": records, "many": many, "list": [1]}))
    run_report(tree)
    page = tree.paths.report.read_text()
    assert "<h2>mistakes</h2>\n<table><tr><th>text</th><th>probability</th><th>more</th></tr>" in page
    assert '<tr><td>&lt;script&gt;1&lt;/script&gt;</td><td class="number">0.5</td><td></td></tr>' in page
    assert "<th>steps</th><td>3</td>" in page
    assert "<th>list</th><td>[1]</td>" in page
    table = page.split("<h2>many</h2>")[1].split("</table>")[0]
    assert (table.count("<tr>"), table.count("<th>")) == (report.MAX_TABLE_ROWS + 1, report.MAX_TABLE_COLUMNS)
    assert page.count("There are more") == 1


STRANGE = """
import os, pathlib, socket
folder = pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"])
os.chdir(folder)
os.mkfifo("fifo.png")
os.mkfifo("summary.json")
os.symlink("loop.png", "loop.png")
os.symlink("/dev/zero", "zero.png")
os.symlink("/dev/tty", "tty.png")
os.symlink(__file__, "elsewhere.png")
os.symlink("whole.png", "inside.png")
socket.socket(socket.AF_UNIX).bind("socket.png")
os.mkdir("folder.png")
pathlib.Path("damaged.png").write_bytes(bytes.fromhex("PIXEL")[:20])
pathlib.Path("empty.png").touch()
pathlib.Path("whole.png").write_bytes(bytes.fromhex("PIXEL"))
pathlib.Path(os.fsdecode(b"\\xff\\x01<&'>.png")).write_bytes(bytes.fromhex("PIXEL"))
pathlib.Path("large.png").write_bytes(bytes.fromhex("PIXEL") + bytes(5 << 20))
pathlib.Path("metrics.csv").write_text("1,1,endless,10000000000000000\\n1,2,endless,10000000000000002\\n")
print("{'loss <b>\\\\x01\\\\ud800': 1, 'loss': 2}")
for value in (1e308, -1e308, 5e-324): print(f"impossible={value};")
""".replace("PIXEL", PIXEL.hex())


def test_report_survives_unusual_files_in_the_output_folder(ml: MakeTree) -> None:
    tree = ml(code={"train.py": STRANGE})
    done = tree.train()
    assert done.status == 0, done.err
    page = tree.paths.report.read_text()
    assert page == curves.clean(page)
    check_html(page)
    shown = re.findall(r'<img alt="([^"]*)" src="data:image/png', page)
    assert shown == ["damaged.png", "inside.png", "whole.png", "\ufffd\ufffd&lt;&amp;&#39;&gt;.png"]
    assert re.findall(r'<a href="(.*?)">', page) == [
        *("elsewhere.png", "empty.png", "fifo.png", "folder.png", "large.png", "loop.png"),
        *("socket.png", "tty.png", "zero.png"),
    ]
    assert "impossible cannot be drawn" in page
    assert '<img alt="endless" src="data:image/svg+xml' in page


class Nesting(HTMLParser):
    """Fails where an element is closed that is not the last one that was opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_html(page: str) -> None:
    parser = Nesting()
    parser.feed(page)
    parser.close()
    assert parser.open == []


def test_pictures_are_limited_in_size_and_the_rest_are_named(ml: MakeTree) -> None:
    tree = ml()
    tree.paths.output_data.mkdir(parents=True)
    for number in range(12):
        (tree.paths.output_data / f"sample {number:02}.png").write_bytes(report.PNG + bytes(3 << 20))
    (tree.paths.output_data / "z.png").write_bytes(bytes.fromhex(PIXEL.hex()))
    assert run_report(tree) < 150 << 20
    page = tree.paths.report.read_text()
    check_html(page)
    assert len(page) < report.MAX_PICTURES_BYTES * 4 / 3 + 100_000
    assert page.count("data:image/png") == 7  # six, and the small one
    assert '<a href="sample%2006.png">sample 06.png</a>' in page


def test_report_of_huge_files_is_limited_in_memory(ml: MakeTree) -> None:
    tree = ml()
    tree.paths.output_data.mkdir(parents=True)
    for path in (tree.paths.metrics, tree.paths.summary, tree.paths.failure, tree.paths.output_data / "a.png"):
        with path.open("wb") as stream:
            stream.truncate(1 << 30)
            if path == tree.paths.metrics:
                stream.write(b"\n1,1,loss,0.5\n")
    assert run_report(tree, status=1) < 150 << 20
    page = tree.paths.report.read_text()
    check_html(page)
    assert "ended with status 1" in page
    assert "<th>loss</th>" in page


def test_report_without_pygal_says_how_to_get_curves(ml: MakeTree, tmp_path: Path) -> None:
    tree = ml()
    tree.paths.output_data.mkdir(parents=True)
    tree.paths.metrics.write_text("1,1,loss,0.5\n")
    write_files(tmp_path / "hidden", {"pygal.py": "raise ModuleNotFoundError('no pygal', name='pygal')"})
    run_report(tree, PYTHONPATH=str(tmp_path / "hidden"))
    page = tree.paths.report.read_text()
    check_html(page)
    assert "<th>loss</th>" in page
    assert "pip install 'byo-container[report]'" in page
    assert "data:image/svg+xml" not in page


def test_deeply_nested_summary_is_left_out(ml: MakeTree) -> None:
    tree = ml()
    tree.paths.output_data.mkdir(parents=True)
    tree.paths.summary.write_text("[" * 100_000)
    run_report(tree)
    assert "<h2>Summary" not in tree.paths.report.read_text()


def test_unfinished_report_is_removed_on_sigterm(ml: MakeTree) -> None:
    tree = ml()
    tree.paths.output_data.mkdir(parents=True)
    for number in range(5):  # more than the disk can take before the signal
        (tree.paths.output_data / f"{number}.png").write_bytes(report.PNG + bytes(4_000_000))
    argv = [sys.executable, "-P", "-m", "byo_container.training.artifacts.report", "0"]
    with subprocess.Popen(argv, env={**os.environ, "SAGEMAKER_BASE_DIR": str(tree.root)}) as process:
        wait_until(lambda: [*tree.paths.output_data.glob(".report*"), *tree.paths.output_data.glob("report*")], "it")
        process.terminate()
    assert list(tree.paths.output_data.glob(".report*")) == []


def test_large_metric_log_is_sampled_by_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK_BYTES", 100)
    path = tmp_path / "metrics.csv"
    lines = [f"{number},{'x' * (number % 37)}\n".encode() for number in range(1000)]
    path.write_bytes(b"".join(lines))
    assert b"".join(reading.blocks_of_lines(path, path.stat().st_size)).splitlines(keepends=True) == lines
    some = b"".join(reading.blocks_of_lines(path, 2000)).splitlines(keepends=True)
    assert set(some) < set(lines)
    assert 1500 < sum(map(len, some)) < 3500
    assert int(some[-1].split(b",")[0]) > 900


def test_failed_job_has_a_report_with_the_reason(ml: MakeTree) -> None:
    tree = ml(code={"train.py": PRINTS_METRICS + "raise ValueError('<b>too bad</b>')"})
    assert tree.train().status == 1
    page = tree.paths.report.read_text()
    assert "&lt;b&gt;too bad&lt;/b&gt;" in page
    assert "ended with status 1" in page
