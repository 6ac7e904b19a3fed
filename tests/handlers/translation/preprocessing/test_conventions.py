"""How text was preprocessed, detected by how often its words occur."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from byo_container.container.failure import JobError
from byo_container.handlers.translation import sample
from byo_container.handlers.translation.preprocessing import codes, conventions
from byo_container.handlers.translation.preprocessing.conventions import DEFAULT, Conventions, detect
from byo_container.handlers.translation.text import Text

GERMAN = [german for german, _ in sample.pairs(400)]
WAYS = [
    DEFAULT,
    Conventions(lowercase=True),
    Conventions(normalise=False),
    Conventions(lowercase=True, normalise=False, escape=False),
    Conventions(split_hyphens=True),
    Conventions(lowercase=True, split_hyphens=True, escape=False),
]


def counts(lines: list[str], wanted: Conventions) -> Counter[str]:
    text = Text("de", wanted)
    return codes.count([[text.tokenize(line) for line in lines]])


@pytest.mark.parametrize("wanted", WAYS, ids=str)
def test_conventions_are_detected_from_words(wanted: Conventions) -> None:
    lines = [line.replace("rotes Auto", "E-Mail-Konto [neu]") for line in GERMAN]
    assert detect(counts(lines, wanted)) == wanted


def test_a_few_characters_do_not_change_detected_conventions() -> None:
    words = counts(GERMAN, Conventions(lowercase=True)) + Counter({"Äpfel": 2, "„": 2, "x-y": 1, "'": 1})
    assert detect(words) == Conventions(lowercase=True)


def test_text_without_cased_letters_is_not_detected_as_lowercase() -> None:
    assert detect({"你好": 5, "世界": 3, "。": 8, "3": 1}) == DEFAULT
    assert detect({"你好": 5, "iPhone": 3}) == DEFAULT
    assert detect({"你好": 5, "iphone": 3}).lowercase
    assert detect({}) == DEFAULT


def test_conventions_are_detected_from_subword_tokens() -> None:
    tokens = {"viel@@": 40, "er": 90, "&@@": 3, "quot@@": 3, ";": 3, "und": 20}
    assert detect(tokens) == Conventions(lowercase=True)
    assert not detect({**tokens, "H@@": 9}).lowercase


def test_reading_a_dictionary(tmp_path: Path) -> None:
    path = tmp_path / "dict.de.txt"
    path.write_text(", 12\nder 9\r\nmadeupword0000 0\n\nodd\nviel@@ 3 #fairseq:overwrite\n")
    found = conventions.read_dictionary(path)
    assert found == {",": 12, "der": 9, "viel@@": 3}
    assert conventions.uses_bpe(found, path)
    assert not conventions.uses_bpe({"der": 90, "@@": 1, "\u2581": 1}, path)
    with pytest.raises(JobError, match=r"dict.de.txt has subword tokens of SentencePiece"):
        conventions.uses_bpe({"\u2581der": 9}, path)
