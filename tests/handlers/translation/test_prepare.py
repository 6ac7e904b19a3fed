"""From two files of sentences to what fairseq trains on."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.handlers.translation import prepare as command
from byo_container.handlers.translation import sample
from byo_container.handlers.translation.prepare import PrepareOptions, prepare
from byo_container.handlers.translation.preprocessing import corpus, prepared
from byo_container.handlers.translation.text import Bpe, Text, join
from tests.handlers.translation.support import PAIRS, VALID


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_files_of_prepared_text(ready: Path) -> None:
    binary = {
        f"{part}.de-en.{side}.{end}" for part in ("train", "valid") for side in ("de", "en") for end in ("bin", "idx")
    }
    others = {"codes", "dict.de.txt", "dict.en.txt", "prepared.json", "valid.de", "valid.en"}
    assert {path.name for path in ready.iterdir()} == binary | others
    facts = json.loads((ready / "prepared.json").read_text())
    assert (facts["train_lines"], facts["valid_lines"]) == (PAIRS, VALID)
    assert facts["train_megabytes"] > 0.01


def test_fairseq_reads_the_binary_text_back(plain: Path, ready: Path) -> None:
    from fairseq.data import Dictionary, data_utils

    dictionary = Dictionary.load(str(ready / "dict.de.txt"))
    rows = data_utils.load_indexed_dataset(str(ready / "train.de-en.de"), dictionary)
    text = Text("de")
    for number, line in enumerate((plain / "train.de").read_text().splitlines()[:50]):
        tokens = dictionary.string(rows[number])
        assert tokens == Bpe(ready / "codes").apply(text.tokenize(line))
        assert text.detokenize(join(tokens)).replace('"', "") == line.replace("„", "").replace("“", "")


def test_the_same_bytes_on_any_number_of_cores(plain: Path, ready: Path, tmp_path: Path) -> None:
    text = corpus.find(sorted(plain.iterdir()), "de", "en")
    for workers in (1, 3):
        again = prepare(text, tmp_path / str(workers), PrepareOptions(merges=200, workers=workers))
        assert digests(again.folder) == digests(ready)
    assert (
        prepare(text, tmp_path / "lower", PrepareOptions(merges=200, lowercase=True)).fingerprint()
        != again.fingerprint()
    )


@pytest.mark.slow
def test_large_files_are_split_among_workers(tmp_path: Path) -> None:
    sample.write(tmp_path / "plain", 3500, 0)
    text = corpus.find(sorted((tmp_path / "plain").iterdir()), "de", "en")
    one, three = (prepare(text, tmp_path / str(workers), PrepareOptions(300, workers=workers)) for workers in (1, 3))
    assert digests(one.folder) == digests(three.folder)
    assert (one.facts["train_lines"], one.facts["valid_lines"]) == (3500 - 152, 152)


def test_lower_case(plain: Path, tmp_path: Path) -> None:
    made = prepare(
        corpus.find(sorted(plain.iterdir()), "de", "en"), tmp_path / "text", PrepareOptions(200, lowercase=True)
    )
    words = made.dictionary("de").read_text()
    assert words == words.lower()
    assert made.lowercase


@pytest.mark.parametrize(
    ("valid", "said"),
    [
        ("a\n\nc\n", "valid.de: these lines have no words: 2;"),
        ("a\nb\n", "has 3 lines and .*has 2: lines 3 to 3"),
    ],
)
def test_invalid_text_leaves_no_files(plain: Path, tmp_path: Path, valid: str, said: str) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(plain, folder)
    (folder / "valid.de").write_text(valid)
    (folder / "valid.en").write_text("a\nb\nc\n")
    with pytest.raises(JobError, match=said):
        prepare(corpus.find(sorted(folder.iterdir()), "de", "en"), tmp_path / "out" / "text", PrepareOptions(200))
    assert list((tmp_path / "out").glob("*")) == []


def test_too_little_text(tmp_path: Path) -> None:
    sample.write(tmp_path, 20, 0)
    with pytest.raises(JobError, match="20 pairs kept; that is too few to train on, for every 23rd is needed"):
        prepare(corpus.find(sorted(tmp_path.iterdir()), "de", "en"), tmp_path / "text", PrepareOptions(200))


def test_the_command(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(plain), str(tmp_path / "out"), "--source-lang", "en", "--target-lang", "de", "--bpe-merges", "200"]
    assert command.main(words) == 0
    assert (tmp_path / "out" / "train.en-de.en.bin").exists()
    assert "400 pairs to train on, 30 to measure with" in capsys.readouterr().out
    assert command.main(words) == 1
    assert f"{tmp_path / 'out'} exists" in capsys.readouterr().err


def test_binary_text_of_fairseq_needs_its_codes(ready: Path, tmp_path: Path) -> None:
    theirs = [path for path in ready.iterdir() if path.name not in ("prepared.json", "valid.de", "valid.en", "codes")]
    for path in theirs:
        shutil.copy(path, tmp_path)
    with pytest.raises(JobError, match=r"dict\.de\.txt has subword tokens \(…@@\), and the BPE codes .* are missing"):
        _find(tmp_path, None, None)
    shutil.copy(ready / "codes", tmp_path / "code")
    found = _find(tmp_path, None, None)
    assert (str(found.direction), found.codes, found.references) == ("de-en", tmp_path / "code", None)
    assert str(_find(tmp_path, "en", None).direction) == "en-de"
    with pytest.raises(JobError, match=r"ask for fr; .* is de-en"):
        _find(tmp_path, "fr", None)
    (tmp_path / "valid.de-en.en.idx").unlink()
    with pytest.raises(JobError, match=r"lacks valid\.de-en\.en\.idx, which fairseq-preprocess writes"):
        _find(tmp_path, None, None)


def test_codes_beside_the_folder_of_binary_text(ready: Path, tmp_path: Path) -> None:
    """fairseq's README binarises into data-bin/, and the script leaves `code` beside the text."""
    names = ("prepared.json", "valid.de", "valid.en", "codes")
    shutil.copytree(ready, tmp_path / "data-bin", ignore=lambda *_: names)
    shutil.copy(ready / "codes", tmp_path / "code")
    found = prepared.find(sorted(path for path in tmp_path.rglob("*") if path.is_file()), None, None)
    assert found
    assert found.codes == tmp_path / "code"


def test_binary_text_of_whole_words_needs_no_codes(ready: Path, tmp_path: Path) -> None:
    shutil.copytree(ready, tmp_path / "text", ignore=lambda *_: ("prepared.json", "valid.de", "valid.en", "codes"))
    for path in (tmp_path / "text").glob("dict.*"):
        path.write_text(path.read_text().replace("@@ ", "xx "))
    assert _find(tmp_path / "text", None, None).codes is None


def _find(folder: Path, source: str | None, target: str | None) -> Any:
    return prepared.find(sorted(folder.iterdir()), source, target)
