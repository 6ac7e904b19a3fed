"""Channels: a handler reads the same byte streams in File, FastFile and Pipe mode."""

from __future__ import annotations

import io
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byo_container.container.channels import RECORDIO_MAGIC, Channel, read_recordio
from byo_container.container.failure import JobError
from byo_container.container.job import TrainingJob
from tests.support.tree import Tree

MakeTree = Callable[..., Tree]


def record(payload: bytes) -> bytes:
    return struct.pack("<II", RECORDIO_MAGIC, len(payload)) + payload + b"\0" * (-len(payload) % 4)


@contextmanager
def platform_pipes(base: Path, epochs: list[bytes], late_s: float = 0.1) -> Iterator[list[str]]:
    """Plays the platform: makes each epoch's FIFO late, writes to it, and goes on when it is closed early."""
    seen: list[str] = []

    def write() -> None:
        for epoch, content in enumerate(epochs):
            time.sleep(late_s)
            fifo = f"{base}_{epoch}"
            os.mkfifo(fifo)
            try:
                with open(fifo, "wb", buffering=0) as stream:
                    for start in range(0, len(content), 65536):
                        stream.write(content[start : start + 65536])
                seen.append("read to its end")
            except BrokenPipeError:
                seen.append("closed early")

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    yield seen
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("mode", ["File", "FastFile"])
def test_files_are_sorted_from_all_subfolders_without_hidden_ones(ml: MakeTree, mode: str) -> None:
    files = {"b.csv": "2", "a.csv": "1", "sub/c.csv": "3", ".hidden.csv": "-", ".git/x.csv": "-", "readme.txt": "t"}
    tree = ml(channels={"training": files}, inputs={"training": {"TrainingInputMode": mode, "ContentType": "text/csv"}})
    channel = TrainingJob.read(tree.paths).channel("training")
    assert channel.content_type == "text/csv"
    assert [path.name for path in channel.files("*.csv")] == ["a.csv", "b.csv", "c.csv"]
    read = [(Path(name).name, stream.read()) for name, stream in channel.streams("*.csv")]
    assert read == [("a.csv", b"1"), ("b.csv", b"2"), ("c.csv", b"3")]


@pytest.mark.parametrize(
    ("files", "pattern", "said"),
    [
        ({}, "*", "needs a file; it holds no file at all"),
        ({"a.txt": ""}, "*.csv", "needs a file named like *.csv; it holds a.txt"),
        ({f"{n:02}.txt": "" for n in range(12)}, "*.csv", "08.txt, 09.txt, ..."),
    ],
)
def test_channel_without_a_matching_file_lists_its_files(
    ml: MakeTree, files: dict[str, str], pattern: str, said: str
) -> None:
    tree = ml(channels={"training": files})
    channel = TrainingJob.read(tree.paths).channel("training")
    with pytest.raises(JobError) as refused:
        next(channel.streams(pattern))
    assert said in str(refused.value)
    assert str(tree.paths.data / "training") in str(refused.value)


def test_pipe_mode_waits_for_a_fifo_for_each_epoch(ml: MakeTree) -> None:
    tree = ml(inputs={"training": {"TrainingInputMode": "Pipe"}})
    tree.paths.data.mkdir()
    channel = TrainingJob.read(tree.paths).channel("training")
    assert channel.files() == []
    large = b"x" * 1_000_000
    with platform_pipes(channel.path, [b"first", large, b"third"]) as seen:
        ((name, stream),) = [(name, stream.read()) for name, stream in channel.streams("*.csv", epoch=0)]
        assert (name, stream) == (str(tree.paths.data / "training_0"), b"first")
        for _, early in channel.streams(epoch=1):
            assert early.read(3) == b"xxx"
            break
        assert [third.read() for _, third in channel.streams(epoch=2)] == [b"third"]
    assert seen == ["read to its end", "closed early", "read to its end"]


def test_missing_fifo_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"train_7 did not appear in 0 s; the platform should make one FIFO"):
        Channel("train", tmp_path / "train", "Pipe")._await_fifo(7, wait_s=0.1)


@given(st.lists(st.binary()))
def test_recordio_round_trips(payloads: list[bytes]) -> None:
    assert list(read_recordio(io.BytesIO(b"".join(map(record, payloads))), "x")) == payloads


def test_recordio_in_pipe_mode(ml: MakeTree) -> None:
    tree = ml(inputs={"training": {"TrainingInputMode": "Pipe", "RecordWrapperType": "RecordIO"}})
    tree.paths.data.mkdir()
    channel = TrainingJob.read(tree.paths).channel("training")
    payloads = [b"", b"abc", b"x" * 200_001]
    with platform_pipes(channel.path, [b"".join(map(record, payloads))]):
        assert list(channel.records()) == payloads


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (record(b"good") + record(b"good")[:5], "part.rec: record 2 is cut off in its header"),
        (record(b"good")[:10], "part.rec: record 1 should have 4 bytes and has 2"),
        (b"headline,category\n", "part.rec: record 1 does not begin as RecordIO does (found 686561646c696e65)"),
        (struct.pack("<II", RECORDIO_MAGIC, 1 << 29 | 4) + b"good", "record 1 does not begin as RecordIO does"),
    ],
)
def test_broken_recordio_is_refused_with_the_number_of_the_record(content: bytes, said: str) -> None:
    with pytest.raises(JobError) as refused:
        list(read_recordio(io.BytesIO(content), "part.rec"))
    assert said in str(refused.value)
