"""Parallel text as people bring it, and what is said where it is wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from byo_container.container.failure import JobError
from byo_container.handlers.translation.preprocessing import cleaning, corpus
from byo_container.handlers.translation.preprocessing.corpus import Direction


def folder_of(folder: Path, **files: str | bytes) -> list[Path]:
    """Files by name, `__` standing for a dot."""
    for name, text in files.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return sorted(folder.iterdir())


def test_pairs_by_their_names(tmp_path: Path) -> None:
    packed = gzip.compress(b"Hallo\nWelt\n")
    files = folder_of(tmp_path, train__de__gz=packed, train__en="hello\r\nworld", val__de="a", val__en="b", README="x")
    found = corpus.find(files, "de", "en")
    assert found.direction == Direction("de", "en")
    pairs = found.train.read()
    assert (pairs.source, pairs.target) == (["Hallo", "Welt"], ["hello", "world"])
    assert found.valid
    assert found.valid.read().source == ["a"]


def test_files_in_deeper_folders_are_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tmp").mkdir()
    folder_of(tmp_path / "tmp", train__de="x", train__en="y", train__clean__de="z")
    folder_of(tmp_path, train__de="a", train__en="b", code="#version: 0.2")
    found = corpus.find(sorted(path for path in tmp_path.rglob("*") if path.is_file()), "de", "en")
    assert (found.train.source, found.codes) == (tmp_path / "train.de", tmp_path / "code")
    assert f"{tmp_path / 'tmp' / 'train.de'} is left aside" in capsys.readouterr().out
    folder_of(tmp_path, bpe__codes="", code__py="print()")
    assert corpus.find(sorted(tmp_path.glob("*.*")), "de", "en").codes == tmp_path / "bpe.codes"
    (tmp_path / "bpe.codes").unlink()
    with pytest.raises(JobError, match=r"several files with BPE codes: .*x\.codes, .*y\.codes"):
        corpus.find(folder_of(tmp_path, x__codes="#version: 0.2", y__codes="#version: 0.2")[1:], "de", "en")


def test_single_pair_of_files_may_have_any_name(tmp_path: Path) -> None:
    found = corpus.find(folder_of(tmp_path, news__de="a", news__en="b"), "en", "de")
    assert found.train.source.name == "news.en"
    assert found.valid is None


@pytest.mark.parametrize(
    ("source", "target", "architecture", "direction"),
    [
        ("de", "en", "transformer_wmt_en_de", "de-en"),
        ("en", None, None, "en-de"),
        (None, "en", None, "de-en"),
        (None, None, "fconv_iwslt_de_en", "de-en"),
        (None, None, "transformer_wmt_en_de_big", "en-de"),
    ],
)
def test_the_direction(
    tmp_path: Path, source: str | None, target: str | None, architecture: str | None, direction: str
) -> None:
    files = folder_of(tmp_path, train__de="a", train__en="b")
    assert str(corpus.find(files, source, target, architecture).direction) == direction


@pytest.mark.parametrize(
    ("files", "languages", "said"),
    [
        (
            {"train__de": "a\nb\nc\n", "train__en": "a\n"},
            "de en",
            "train.de has 3 lines and .*train.en has 1: lines 2 to 3",
        ),
        ({"train__de": "a", "train__en": ""}, "de en", "train.en is empty"),
        ({"train__de": "\n \n", "train__en": "a\nb\n"}, "de en", "train.de has no text, only empty lines"),
        ({"train__de": b"gut\nsch\xf6n\n", "train__en": "a\nb"}, "de en", r"train.de, line 2, byte 4 is not UTF-8"),
        (
            {"train__de": b"\xef\xbb\xbfgut", "train__en": "a"},
            "de en",
            "train.de, line 1, begins with a byte order mark",
        ),
        ({"train__de__gz": b"no gzip", "train__en": "a"}, "de en", "train.de.gz cannot be read"),
        ({"train__de": "a", "train__en": "a"}, " ", "direction is missing: set the hyperparameters source_lang"),
        ({"train__de": "a", "train__en": "a"}, "de fr", "no text in 'fr'"),
        ({"train__de": "a", "train__en": "a"}, "de de", "both 'de'; they must be two languages"),
        ({"train__de": "a", "news__en": "a"}, "de en", "train.de has no partner in 'en'; there should be train.en"),
        ({"train__de": "a", "train_2__de": "a", "train__en": "a"}, "de en", "train is there more than once for 'de'"),
        ({"train__de": "a", "valid__de": "b"}, " ", "has text in 'de' only; it needs two files of sentences"),
        ({"train__de": "gut\n".encode("utf-16"), "train__en": "a"}, "de en", r"train.de, line 1, byte 1 is not UTF-8"),
        ({"README": "a"}, "de en", "needs two files of sentences .*; it holds README"),
    ],
)
def test_invalid_text_is_reported_with_its_line(
    tmp_path: Path, files: dict[str, str], languages: str, said: str
) -> None:
    source, target = (language or None for language in languages.split(" "))
    with pytest.raises(JobError, match=said):
        corpus.find(folder_of(tmp_path, **files), source, target).train.read()


def test_only_newlines_end_lines(tmp_path: Path) -> None:
    (path,) = folder_of(tmp_path, train__de="a\u2028b\x0cc\r\nd\n")
    assert corpus.read_lines(path) == ["a\u2028b\x0cc", "d"]


def test_cleaning_by_length_and_ratio() -> None:
    words = {n: " ".join(["w"] * n) for n in range(200)}
    source = [words[n] for n in (2, 2, 0, 175, 176, 6, 6)]
    target = [words[n] for n in (3, 4, 1, 175, 176, 4, 9)]
    kept = cleaning.clean(source, target)
    assert kept.pairs == [0, 3, 5, 6]
    assert str(kept) == (
        "4 pairs kept; left out: 1 of more than 175 words, 1 with an empty side, "
        "1 with one side more than 1.5 times as long"
    )


def test_every_23rd_pair_is_held_out() -> None:
    train, valid = cleaning.split(range(100, 150))
    assert valid == [122, 145]
    assert sorted(train + valid) == list(range(100, 150))
