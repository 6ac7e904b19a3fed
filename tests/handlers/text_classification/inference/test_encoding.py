"""Texts → tokens, as requests want them truncated."""

from __future__ import annotations

import pytest

pytest.importorskip("transformers", reason="text classification needs Transformers")

from byo_container.container.handler import InputError
from byo_container.handlers.text_classification.inference.encoding import MOST_CHARACTERS, Encoded, Encoder
from byo_container.handlers.text_classification.requests import Parameters, Text
from tests.handlers.text_classification.support import LONGEST, tiny_tokenizer

LONG = "happy " * 100


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(tiny_tokenizer("bert"), LONGEST)


def test_a_text_that_one_side_cannot_make_short_enough_fails_alone(encoder: Encoder) -> None:
    by_second = Parameters(truncation="only_second")
    found = encoder.encode(
        [Text("happy", LONG, by_second), Text(LONG, "happy", by_second), Text("i feel", None, by_second)]
    )
    assert isinstance(found[0], Encoded)
    assert len(found[0].ids) == LONGEST
    assert isinstance(found[1], InputError)
    assert 'cannot be cut to 64 tokens by "truncation": "only_second"; "longest_first" or true can' in str(found[1])
    assert isinstance(found[2], Encoded | InputError)


@pytest.mark.parametrize(("pair", "special"), [(None, 2), ("sad", 3)])
def test_a_length_without_room_for_a_word_is_refused(encoder: Encoder, pair: str | None, special: int) -> None:
    few, enough = (Text("happy", pair, Parameters(max_length=special + more)) for more in (0, 1))
    found = encoder.encode([few, enough])
    assert str(found[0]) == f"'max_length' is {special}, and {special} tokens are special; ask for more"
    assert isinstance(found[1], Encoded)


def test_a_text_without_any_token_fails_alone() -> None:
    from tokenizers import processors

    tokenizer = tiny_tokenizer("bert")
    plain = processors.TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    tokenizer.backend_tokenizer.post_processor = plain
    found = Encoder(tokenizer, LONGEST).encode([Text("\x00", None, Parameters()), Text("happy", None, Parameters())])
    assert "the text has no token, as the model's tokenizer reads it" in str(found[0])
    assert isinstance(found[1], Encoded)


def test_a_text_of_megabytes_is_not_made_tokens_of(encoder: Encoder) -> None:
    whole = Parameters(truncation=False)
    (found,) = encoder.encode([Text("happy " * 1_000_000, None, whole)])
    assert str(found).startswith(f"the text has {MOST_CHARACTERS // 6 + 4:,} tokens, and the model takes 64")
    assert str(found).endswith('shorten it, or send "parameters": {"truncation": true}')
