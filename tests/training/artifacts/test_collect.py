"""The artifacts of real jobs: metrics.csv, TensorBoard events and a report, from scripts that know nothing of them."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.job import read_job
from byo_container.container.metrics import read_rows
from byo_container.container.paths import Paths
from byo_container.container.process.child import Command
from byo_container.training.artifacts import collect
from tests.support.tree import Tree
from tests.training.support.artifacts import PRINTS_METRICS, events

MakeTree = Callable[..., Tree]


def test_printed_metrics_become_rows_events_and_a_report(ml: MakeTree) -> None:
    tree = ml(code={"train.py": PRINTS_METRICS}, hyperparameters={"lr": "0.1"})
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


def test_no_artifacts_without_metrics(ml: MakeTree) -> None:
    tree = ml(code={"train.py": "print('hello')"})
    assert tree.train().status == 0
    assert list(tree.paths.output_data.iterdir()) == []
    assert not tree.paths.tensorboard.exists()


def test_artifacts_of_an_older_job_are_removed(ml: MakeTree) -> None:
    tree = ml(code={"train.py": "print('hello')"})
    tree.paths.output_data.mkdir(parents=True)
    for path in (tree.paths.metrics, tree.paths.summary, tree.paths.report):
        path.write_text("old")
    assert tree.train().status == 0
    assert list(tree.paths.output_data.iterdir()) == []


def test_full_disk_stops_the_metric_log_but_not_the_training(ml: MakeTree, mount: Callable[..., None]) -> None:
    tree = ml(code={"train.py": PRINTS_METRICS * 200 + "print('end')"})
    mount(tree.paths.output_data, "size=8k")
    done = tree.train()
    assert done.status == 0, done.err
    assert "no more metrics are recorded" in done.err
    assert "end" in done.out


def test_only_the_process_of_rank_0_is_recorded() -> None:
    paths = Paths(Path("/opt/ml"))
    script = Command(["python", "train.py"], "train.py", capture=True)
    launcher = Command(["torchrun"], "torchrun", capture=True, spared_on_stop=True)
    service = Command(["sshd"], "sshd", capture=True, service=True)
    *commands, follower = collect.with_artifacts([script, launcher, service], paths)
    assert [command.watch is not None for command in commands] == [True, False, False]
    assert follower.background
    assert list(follower.argv[-2:]) == ["/opt/ml/output/data/metrics.csv", "/opt/ml/output/tensorboard"]


def test_report_has_a_time_limit(caplog: pytest.LogCaptureFixture) -> None:
    hangs = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(300)"
    begun = time.monotonic()
    collect.run_limited(Command([sys.executable, "-c", hangs], "the report", capture=True), 1.0)
    assert time.monotonic() - begun < 30
    assert "the report is not finished after 1 s, and is given up" in caplog.text


def test_unreadable_output_folder_loses_the_report_only(ml: MakeTree, caplog: pytest.LogCaptureFixture) -> None:
    job = read_job(ml().paths)
    unreadable = Paths(Path("/" + "x" * 300))  # as root may look into every folder: a name that no system takes
    collect.write_report(dataclasses.replace(job, paths=unreadable), 0)
    assert "there is no report" in caplog.text


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[Path]:
    """A file system on which whoever writes waits, and cannot even be killed, until the test ends."""
    image, folder = tmp_path / "image", tmp_path / "frozen"
    folder.mkdir()
    with image.open("wb") as stream:
        stream.truncate(16 << 20)
    try:
        for command in ("mkfs.ext4 -q image", "mount -o loop image frozen"):
            subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs root, mkfs.ext4 and a loop device")
    try:
        subprocess.run(["fsfreeze", "-f", folder], check=True)  # noqa: S607
        yield folder
    finally:
        subprocess.run(["fsfreeze", "-u", folder], check=False)  # noqa: S607
        subprocess.run(["umount", "-l", folder], check=True)  # noqa: S607


@pytest.mark.slow
def test_report_in_uninterruptible_sleep_is_abandoned(frozen: Path, caplog: pytest.LogCaptureFixture) -> None:
    writes = Command([sys.executable, "-c", f"open('{frozen}/x', 'w')"], "the report", capture=True)
    begun = time.monotonic()
    collect.run_limited(writes, 1.0)
    assert time.monotonic() - begun < 40
    assert "is given up" in caplog.text
    assert "not even by SIGKILL" in caplog.text


@pytest.mark.parametrize("filler", ["metrics", "events"])
def test_artifacts_are_removed_to_write_the_failure_file_on_a_full_disk(
    ml: MakeTree, mount: Callable[..., None], filler: str
) -> None:
    if filler == "events":
        pytest.importorskip("tensorboardX")
    code = """
import os, pathlib, time
folder = pathlib.Path(os.environ["SM_OUTPUT_DIR"])
ours = folder / "tensorboard" if FILLER == "events" else folder / "data"
print("loss=1;", flush=True)
while not (ours.is_dir() and any(ours.iterdir())): time.sleep(0.02)
if FILLER == "events": (folder / "data" / "metrics.csv").unlink()
try:
    with open(folder / "full", "wb", buffering=0) as stream:
        while True: stream.write(bytes(4096))
except OSError: pass
raise ValueError("what matters")
""".replace("FILLER", repr(filler))
    tree = ml(code={"train.py": code})
    tree.paths.output.mkdir()
    mount(tree.paths.output, "size=64k")
    done = tree.train()
    assert done.status == 1
    assert done.reason.startswith("ValueError: what matters")
    assert "removing" in done.err


def torch_job(**more: Any) -> dict[str, Any]:
    return {"hyperparameters": {"launcher": "torchrun", "processes_per_host": "2", **more}}


def test_only_rank_0_metrics_are_recorded(ml: MakeTree) -> None:
    pytest.importorskip("torch", reason="needs the extra torch")
    code = "import os\nprint(f\"step 1: loss={os.environ['RANK']}.5;\")"
    tree = ml(code={"train.py": code}, **torch_job())
    assert tree.train().status == 0
    assert [(row.metric, row.value) for row in read_rows(tree.paths.metrics.read_text())] == [("loss", 0.5)]
