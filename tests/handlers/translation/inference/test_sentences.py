"""Long text is cut where its sentences end."""

from __future__ import annotations

import time

import pytest

from byo_container.handlers.translation.inference.sentences import split


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Ein Hund. Eine Katze! Wer?", ["Ein Hund.", "Eine Katze!", "Wer?"]),
        ("„Ja.“ Er ging.", ["„Ja.“", "Er ging."]),
        ("(Sie kam.) Ärger?! Nein…  Doch.", ["(Sie kam.)", "Ärger?!", "Nein…", "Doch."]),
        ("Am 3. Oktober kam Dr. Öl, z.B. mit H. Maß. Gut.", ["Am 3. Oktober kam Dr. Öl, z.B. mit H. Maß.", "Gut."]),
        ("Er kam... und ging. 1990 war gut.", ["Er kam... und ging.", "1990 war gut."]),
        ("Ludwig XIV. Er war König.", ["Ludwig XIV. Er war König."]),
        ("ohne Ende", ["ohne Ende"]),
        ("  ", []),
    ],
)
def test_german(text: str, sentences: list[str]) -> None:
    assert split(text, "de") == sentences


def test_each_language_has_its_abbreviations() -> None:
    assert split("See Mr. Smith. Go.", "en") == ["See Mr. Smith.", "Go."]
    assert split("A bzgl. B", "de") == ["A bzgl. B"]
    assert split("A bzgl. B", "en") == ["A bzgl.", "B"]


def test_splitting_keeps_all_text_and_is_fast_for_a_megabyte() -> None:
    text = "Ein Hund bellt. " * 60_000
    began = time.monotonic()
    sentences = split(text, "de")
    assert " ".join(sentences) == text.strip()
    assert len(sentences) == 60_000
    assert time.monotonic() - began < 20
