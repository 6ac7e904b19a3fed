"""What a job leaves for people: metrics.csv, TensorBoard events, a report; from scripts that know nothing of it."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.files import reading
from byo_container.container.job import read_job
from byo_container.container.metrics import Row, read_rows
from byo_container.container.paths import Paths
from byo_container.container.process.child import Command
from byo_container.training.artifacts import collect, report, tensorboard
from tests.support.processes import wait_until
from tests.support.tree import Tree

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
    *commands, follower = collect.observed([script, launcher, service], paths)
    assert [command.watch is not None for command in commands] == [True, False, False]
    assert follower.background
    assert list(follower.argv[-2:]) == ["/opt/ml/output/data/metrics.csv", "/opt/ml/output/tensorboard"]


def curve(name: str, count: int) -> list[Row]:
    return [Row(0.0, float(step), name, float(step)) for step in range(count)]


def test_curves_of_one_measure_share_a_picture() -> None:
    rows = [row for name in ("train_loss", "val_loss", "loss", "lr", "bleu/valid") for row in curve(name, 2)]
    shown = report.charts(report.curves_of(rows))
    assert {name: sorted(curves) for name, curves in shown.items()} == {
        "loss": ["loss", "train_loss", "val_loss"],
        "lr": ["lr"],
        "bleu": ["bleu/valid"],
    }


@pytest.mark.parametrize("count", [1, 399, 400, 401, 799, 800, 801, 100_000])
def test_a_long_curve_is_thinned_evenly_and_keeps_its_end(count: int) -> None:
    found = report.curves_of(iter(curve("loss", count)))["loss"]
    steps = [step for step, _ in found.points()]
    assert min(count, report.MOST_POINTS / 3) <= len(steps) <= report.MOST_POINTS
    assert steps[-1] == count - 1
    gaps = [after - before for before, after in pairwise(steps)][:-1]
    assert max(gaps, default=0) <= 2 * min(gaps, default=0)
    assert (found.count, found.last, found.least, found.most) == (count, count - 1, 0, count - 1)


def test_the_follower_reads_whole_rows_only(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    follower = tensorboard.Follower(path)
    assert list(follower.rows()) == []
    path.write_text("time,step,metric,value\n1,1,loss,0.5\n1,2,lo")
    assert [row.step for row in follower.rows()] == [1]
    with path.open("a") as stream:
        stream.write("ss,0.25\n")
    assert [(row.step, row.value) for row in follower.rows()] == [(2, 0.25)]
    assert list(follower.rows()) == []


def test_the_follower_passes_over_what_are_no_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "BLOCK_BYTES", 64)
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"\0" * 1000 + b"\n" + b"1,2,loss,3\n" * 100)
    assert len(list(tensorboard.Follower(path).rows())) == 100


def test_of_very_many_values_fewer_become_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboardX")
    monkeypatch.setattr(tensorboard, "ALL_OF", 10)
    written = tensorboard.Events(tmp_path)
    written.write(curve("loss/a b", 105))
    written.write([Row(1.0, -3.0, "lr", 1e300)])
    written.close()
    assert [(tag, step) for tag, step, _ in events(tmp_path)] == [
        *[("loss/a_b", step) for step in (*range(10), *range(19, 100, 10))],
        ("lr", -3),
        ("loss/a_b", 104),
    ]


def test_the_report_completes_events_that_no_follower_has_written(ml: MakeTree) -> None:
    pytest.importorskip("tensorboardX")
    tree = ml()
    tree.paths.output_data.mkdir(parents=True)
    tree.paths.metrics.write_text("1,1,loss,0.5\n1,2,loss,0.25\n")
    for _ in range(2):
        run_report(tree)
        assert [step for _, step, _ in events(tree.paths.tensorboard)] == [1, 2]


def test_of_a_large_file_whole_lines_from_all_over_it_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK_BYTES", 100)
    path = tmp_path / "metrics.csv"
    lines = [f"{number},{'x' * (number % 37)}\n".encode() for number in range(1000)]
    path.write_bytes(b"".join(lines))
    assert b"".join(reading.blocks_of_lines(path, path.stat().st_size)).splitlines(keepends=True) == lines
    some = b"".join(reading.blocks_of_lines(path, 2000)).splitlines(keepends=True)
    assert set(some) < set(lines)
    assert 1500 < sum(map(len, some)) < 3500
    assert int(some[-1].split(b",")[0]) > 900


def test_tensorboard_is_written_without_loading_torch(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    code = (
        "import sys, pathlib; from byo_container.training.artifacts import tensorboard\n"
        "from byo_container.container.metrics import Row\n"
        "writer = tensorboard.Events(pathlib.Path(sys.argv[1])); writer.write([Row(1, 1, 'a', 1)]); writer.close()\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-c", code, str(tmp_path)], check=True)
    assert len(events(tmp_path)) == 1


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


def test_whatever_lies_in_the_output_folder_the_job_ends_with_a_report(ml: MakeTree) -> None:
    tree = ml(code={"train.py": STRANGE})
    done = tree.train()
    assert done.status == 0, done.err
    page = tree.paths.report.read_text()
    assert page == report.clean(page)
    check_html(page)
    shown = re.findall(r'<img alt="([^"]*)" src="data:image/png', page)
    assert shown == ["damaged.png", "inside.png", "whole.png", "\ufffd\ufffd&lt;&amp;&#x27;&gt;.png"]
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


def test_pictures_have_room_up_to_a_limit_and_the_others_are_named(ml: MakeTree) -> None:
    tree = ml()
    tree.paths.output_data.mkdir(parents=True)
    for number in range(12):
        (tree.paths.output_data / f"sample {number:02}.png").write_bytes(report.PNG + bytes(3 << 20))
    (tree.paths.output_data / "z.png").write_bytes(bytes.fromhex(PIXEL.hex()))
    assert run_report(tree) < 150 << 20
    page = tree.paths.report.read_text()
    check_html(page)
    assert len(page) < report.MOST_PICTURES_BYTES * 4 / 3 + 100_000
    assert page.count("data:image/png") == 7  # six, and the small one
    assert '<a href="sample%2006.png">sample 06.png</a>' in page


def test_files_of_a_gigabyte_cost_neither_time_nor_memory(ml: MakeTree) -> None:
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


def test_a_summary_that_nests_too_deep_is_left_out(ml: MakeTree) -> None:
    tree = ml()
    tree.paths.output_data.mkdir(parents=True)
    tree.paths.summary.write_text("[" * 100_000)
    run_report(tree)
    assert "<h2>Summary" not in tree.paths.report.read_text()


MEASURED = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-P", "-m", "byo_container.training.artifacts.report", *sys.argv[1:]], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


def run_report(tree: Tree, status: int = 0) -> int:
    """Writes the report of a job, and returns the most memory that this took, in bytes."""
    env = {**os.environ, "SAGEMAKER_BASE_DIR": str(tree.root)}
    argv = [sys.executable, "-c", MEASURED, str(status)]  # one by one: the tests' own memory would be counted
    return int(subprocess.run(argv, env=env, check=True, stdout=subprocess.PIPE, timeout=60).stdout)


def test_a_report_that_does_not_end_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    hangs = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(300)"
    begun = time.monotonic()
    collect.run_limited(Command([sys.executable, "-c", hangs], "the report", capture=True), 1.0)
    assert time.monotonic() - begun < 30
    assert "the report is not finished after 1 s, and is given up" in caplog.text


def test_an_output_folder_that_cannot_be_looked_into_costs_the_report_only(
    ml: MakeTree, caplog: pytest.LogCaptureFixture
) -> None:
    job = read_job(ml().paths)
    unreadable = Paths(Path("/" + "x" * 300))  # as root may look into every folder: a name that no system takes
    collect.report(dataclasses.replace(job, paths=unreadable), 0)
    assert "there is no report" in caplog.text


def test_half_a_report_does_not_stay(ml: MakeTree) -> None:
    tree = ml()
    tree.paths.output_data.mkdir(parents=True)
    for number in range(5):  # more than the disk can take before the signal
        (tree.paths.output_data / f"{number}.png").write_bytes(report.PNG + bytes(4_000_000))
    argv = [sys.executable, "-P", "-m", "byo_container.training.artifacts.report", "0"]
    with subprocess.Popen(argv, env={**os.environ, "SAGEMAKER_BASE_DIR": str(tree.root)}) as process:
        wait_until(lambda: [*tree.paths.output_data.glob(".report*"), *tree.paths.output_data.glob("report*")], "it")
        process.terminate()
    assert list(tree.paths.output_data.glob(".report*")) == []


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
def test_a_report_that_hangs_in_the_kernel_is_left_behind(frozen: Path, caplog: pytest.LogCaptureFixture) -> None:
    writes = Command([sys.executable, "-c", f"open('{frozen}/x', 'w')"], "the report", capture=True)
    begun = time.monotonic()
    collect.run_limited(writes, 1.0)
    assert time.monotonic() - begun < 40
    assert "is given up" in caplog.text
    assert "not even by SIGKILL" in caplog.text


@pytest.mark.parametrize("filler", ["metrics", "events"])
def test_on_a_full_disk_our_records_give_way_to_the_reason(
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


def test_of_several_ranks_the_first_ones_metrics_are_kept(ml: MakeTree) -> None:
    pytest.importorskip("torch", reason="needs the extra torch")
    code = "import os\nprint(f\"step 1: loss={os.environ['RANK']}.5;\")"
    tree = ml(code={"train.py": code}, **torch_job())
    assert tree.train().status == 0
    assert [(row.metric, row.value) for row in read_rows(tree.paths.metrics.read_text())] == [("loss", 0.5)]
