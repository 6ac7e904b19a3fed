"""What a job leaves for people: metrics.csv, TensorBoard events, a report; from scripts that know nothing of it."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from container.child import Command
from container.metrics import Row, read_rows
from container.paths import Paths
from tests.support import Tree, wait_until
from training import records, report, tensorboard

MakeTree = Callable[..., Tree]
PRINTS = """
for epoch in range(1, 4):
    print(f"epoch {epoch}/3: train_loss={1 / epoch}; val_loss={2 / epoch};")
"""
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def events(folder: Path) -> list[tuple[str, int, float]]:
    """Tag, step and value of all scalars below a folder, by TensorBoard's own format."""
    from tensorboardX.event_file_writer import EventFileWriter  # noqa: F401  # the library is there
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + length])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            data = data[12 + length + 4 :]
    return found


def test_a_script_that_prints_metrics_gets_rows_events_and_a_report(ml: MakeTree) -> None:
    tree = ml(code={"train.py": PRINTS}, hyperparameters={"lr": "0.1"})
    assert tree.train().status == 0
    rows = read_rows(tree.paths.metrics.read_text())
    assert [(row.metric, row.step, round(row.value, 2)) for row in rows] == [
        *[("train_loss", 1, 1), ("val_loss", 1, 2), ("train_loss", 2, 0.5)],
        *[("val_loss", 2, 1), ("train_loss", 3, 0.33), ("val_loss", 3, 0.67)],
    ]
    written = [(tag, step, round(value, 6)) for tag, step, value in events(tree.paths.tensorboard)]
    assert written == [(row.metric, row.step, round(row.value, 6)) for row in rows]
    page = tree.paths.report.read_text()
    assert page.count("data:image/svg+xml") == 1  # both losses in one picture
    assert "finished" in page
    assert "<th>lr</th><td>0.1</td>" in page


def test_a_script_that_prints_none_leaves_nothing(ml: MakeTree) -> None:
    tree = ml(code={"train.py": "print('hello')"})
    assert tree.train().status == 0
    assert list(tree.paths.output_data.iterdir()) == []
    assert not tree.paths.tensorboard.exists()


def test_a_job_that_fails_has_a_report_that_says_why(ml: MakeTree) -> None:
    tree = ml(code={"train.py": PRINTS + "raise ValueError('<b>too bad</b>')"})
    assert tree.train().status == 1
    page = tree.paths.report.read_text()
    assert "&lt;b&gt;too bad&lt;/b&gt;" in page
    assert "ended with status 1" in page


def test_events_are_written_while_the_job_runs(ml: MakeTree) -> None:
    tree = ml(code={"train.py": PRINTS + "import time; time.sleep(60)"})
    process = tree.start()
    wait_until(lambda: len(events(tree.paths.tensorboard)) == 6, "the events")
    process.send_signal(signal.SIGTERM)
    assert tree.finish(process).status == 143
    assert tree.paths.report.is_file()


def test_an_older_jobs_records_are_gone(ml: MakeTree) -> None:
    tree = ml(code={"train.py": "print('hello')"})
    tree.paths.output_data.mkdir(parents=True)
    for path in (tree.paths.metrics, tree.paths.summary, tree.paths.report):
        path.write_text("old")
    assert tree.train().status == 0
    assert list(tree.paths.output_data.iterdir()) == []


def test_pictures_and_a_summary_are_shown(ml: MakeTree) -> None:
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


def test_a_full_disk_costs_the_records_and_not_the_training(ml: MakeTree, mount: Callable[..., None]) -> None:
    tree = ml(code={"train.py": PRINTS * 200 + "print('end')"})
    mount(tree.paths.output_data, "size=8k")
    done = tree.train()
    assert done.status == 0, done.err
    assert "no more metrics are recorded" in done.err
    assert "end" in done.out


def test_only_rank_0s_own_process_is_watched() -> None:
    paths = Paths(Path("/opt/ml"))
    script = Command(["python", "train.py"], "train.py", capture=True)
    launcher = Command(["torchrun"], "torchrun", capture=True, leads_ranks=True)
    service = Command(["sshd"], "sshd", capture=True, service=True)
    *commands, follower = records.observed([script, launcher, service], paths)
    assert [command.watch is not None for command in commands] == [True, False, False]
    assert follower.background
    assert list(follower.argv[-2:]) == ["/opt/ml/output/data/metrics.csv", "/opt/ml/output/tensorboard"]


def curve(name: str, count: int) -> list[Row]:
    return [Row(0.0, float(step), name, 1.0) for step in range(count)]


def test_curves_of_one_measure_share_a_picture() -> None:
    rows = [row for name in ("train_loss", "val_loss", "loss", "lr", "bleu/valid") for row in curve(name, 2)]
    assert {name: sorted(curves) for name, curves in report.charts(rows).items()} == {
        "loss": ["loss", "train_loss", "val_loss"],
        "lr": ["lr"],
        "bleu": ["bleu/valid"],
    }


@pytest.mark.parametrize("count", [1, 399, 400, 401, 100_000])
def test_a_long_curve_is_thinned_and_keeps_its_end(count: int) -> None:
    thin = report.thinned(curve("loss", count))
    assert len(thin) <= report.MOST_POINTS
    assert thin[-1].step == count - 1


def test_the_follower_reads_whole_rows_only(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    follower = tensorboard.Follower(path)
    assert follower.rows() == []
    path.write_text("time,step,metric,value\n1,1,loss,0.5\n1,2,lo")
    assert [row.step for row in follower.rows()] == [1]
    with path.open("a") as stream:
        stream.write("ss,0.25\n")
    assert [(row.step, row.value) for row in follower.rows()] == [(2, 0.25)]
    assert follower.rows() == []


def torch_job(**more: Any) -> dict[str, Any]:
    return {"hyperparameters": {"launcher": "torchrun", "processes_per_host": "2", **more}}


def test_of_several_ranks_the_first_ones_metrics_are_kept(ml: MakeTree) -> None:
    pytest.importorskip("torch", reason="needs the extra torch")
    code = "import os\nprint(f\"step 1: loss={os.environ['RANK']}.5;\")"
    tree = ml(code={"train.py": code}, **torch_job())
    assert tree.train().status == 0
    assert [(row.metric, row.value) for row in read_rows(tree.paths.metrics.read_text())] == [("loss", 0.5)]
