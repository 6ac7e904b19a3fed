"""Plain text to words and back."""

from __future__ import annotations

import html
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byo_container.container.failure import JobError
from byo_container.handlers.translation.preprocessing.conventions import Conventions
from byo_container.handlers.translation.text import Bpe, Text, join

GERMAN, ENGLISH = Text("de"), Text("en")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Über den Wolken.", "Über den Wolken ."),
        ("R&B", "R &amp; B"),
        ("R&amp;B", "R &amp; B"),
        ("R&amp;amp;B", "R &amp; B"),
        ("a<b> | [c]", "a &lt; b &gt; &#124; &#91; c &#93;"),
        ("„Ja“, sagt er \u2013 z.B. Dr. Maß…", "&quot; Ja &quot; , sagt er - z.B. Dr. Maß ..."),
        ("?x=1&copy=2", "? x = 1 &amp; copy = 2"),
        ("Mu\u0308ller\u00a0und\u2009Co", "Müller und Co"),
        ("a@@ b </s> <unk>", "a @ @ b &lt; / s &gt; &lt; unk &gt;"),
        (" \t ", ""),
        ("", ""),
    ],
)
def test_words(text: str, words: str) -> None:
    assert GERMAN.tokenize(text) == words


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("It &apos;s &quot; R &amp; B &quot; .", 'It\'s "R & B".'),
        ("It &amp;apos;s &amp;quot; R &amp;amp; B &amp;quot; .", 'It\'s "R & B".'),
        ("&#91; x &#93; costs $ 3.50 , he said !", "[x] costs $3.50, he said!"),
        ("", ""),
    ],
)
def test_plain_text(words: str, text: str) -> None:
    assert ENGLISH.detokenize(words) == text


def test_lowercasing_comes_after_tokenising() -> None:
    assert Text("de", Conventions(lowercase=True)).tokenize("Dr. Öl & CO") == "dr. öl &amp; co"


def test_typographic_quotes_are_kept_for_a_model_trained_with_them() -> None:
    assert Text("de", Conventions(normalise=False)).tokenize("„Ja“") == "„ Ja “"


sentences = st.text(st.sampled_from("aÄößé 1.,!?&\"'()-\u2013„“;:€漢"), max_size=40)


@given(sentences)
def test_tokenising_and_detokenising_keep_all_letters(text: str) -> None:
    once = ENGLISH.detokenize(ENGLISH.tokenize(text))
    assert "".join(sign for sign in once if sign.isalnum()) == "".join(sign for sign in text if sign.isalnum())
    assert html.unescape(once) == once


def test_text_and_bpe_can_be_pickled() -> None:
    text = Text("de", Conventions(lowercase=True, normalise=False))
    text.tokenize("a")
    again = pickle.loads(pickle.dumps(text))  # noqa: S301  our own
    assert again.tokenize("„Öl“") == text.tokenize("„Öl“") == "„ öl “"


@pytest.fixture
def codes(tmp_path: Path) -> Path:
    path = tmp_path / "codes"
    path.write_text("#version: 0.2\nü l\nM ül\nl e\nle r</w>\n", encoding="utf-8")
    return path


def test_bpe_segments_words(codes: Path) -> None:
    bpe = Bpe(codes)
    assert bpe.apply("Müller &amp; Öl") == "Mül@@ ler &@@ a@@ m@@ p@@ ; Ö@@ l"
    assert pickle.loads(pickle.dumps(bpe)).apply("Müller") == "Mül@@ ler"  # noqa: S301  our own


def test_bpe_cache_is_limited(codes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("byo_container.handlers.translation.text.CACHED_WORDS", 10)
    bpe = Bpe(codes)
    for number in range(1000):
        assert bpe.apply(f"Müller{number}")
    assert len(bpe._bpe.cache) <= 11


@pytest.mark.parametrize("tokens", ["Mül@@ ler &amp; Ö@@ l", "Mül@@ ler &amp; Ö@@ l@@"])
def test_subword_tokens_are_joined_also_in_an_incomplete_word(tokens: str) -> None:
    assert join(tokens) == "Müller &amp; Öl"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"#version: 0.2\na b\na b c\n", "line 3 is 'a b c'; it should be what"),
        (b"a\n", "line 1 is 'a'"),
        (b"#version: 9\na b\n", "says '#version: 9'; versions 0.1 and 0.2 are known"),
        (b"\xff\xfe", r"is not UTF-8 \(byte 0\)"),
        (None, "is missing; it should be"),
    ],
)
def test_invalid_codes_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "codes").write_bytes(content)
    with pytest.raises(JobError, match=message):
        Bpe(tmp_path / "codes")
