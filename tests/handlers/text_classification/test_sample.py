"""The texts for demonstrations."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from byo_container.handlers.text_classification import sample


def test_both_channels_have_all_labels_and_the_texts_are_the_same_each_time(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        sample.main([str(tmp_path / folder), "--rows", "120"])
    read = {name: (tmp_path / "a" / name / f"{name}.txt").read_text().splitlines() for name in ("train", "test")}
    assert {name: len(lines) for name, lines in read.items()} == {"train": 96, "test": 24}
    for lines in read.values():
        counts = Counter(line.rpartition(";")[2] for line in lines)
        assert set(counts) == set(sample.PATTERNS)
        assert max(counts.values()) == min(counts.values())
    for name, lines in read.items():
        assert (tmp_path / "b" / name / f"{name}.txt").read_text().splitlines() == lines
    assert not any("{" in text for text, _ in sample.texts(500))


def test_too_few_rows_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sample.main([str(tmp_path / "a"), "--rows", "3"])
    assert "--rows should be 30 at least" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_encoder_knows_every_word_of_the_texts(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    sample.write_encoder(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text, _ in sample.texts(100):
        assert tokenizer.unk_token not in tokenizer.tokenize(text)
    assert transformers.AutoModel.from_pretrained(tmp_path).config.hidden_size == 64


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"sample: cannot write to .*file: .*; it should be a folder"):
        sample.main([str(tmp_path / "file")])
