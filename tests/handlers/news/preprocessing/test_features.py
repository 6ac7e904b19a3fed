"""Headlines to numbers: one at a time and many at once must say the same."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byo_container.handlers.news.preprocessing.features import Features, NgramFeatures, Ragged, WordFeatures, from_json
from byo_container.handlers.news.text import words

WORDS = ["Fed's", "the", "US—open", "\u2018rates\u2019", "日本", "123", "e-mail"]
headlines = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=80)
    | st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join),
    max_size=12,
)
VOCABULARY = ["fed", "s", "the", "us", "open", "日本"]


def rows_of(ragged: Ragged) -> list[list[int]]:
    return [ragged.ids[a:b].tolist() for a, b in zip(ragged.starts, ragged.starts[1:], strict=False)]


@pytest.mark.parametrize("features", [NgramFeatures(1 << 20), NgramFeatures(2), WordFeatures(VOCABULARY)])
@given(headlines=headlines)
def test_encoding_one_headline_equals_encoding_many(features: Features, headlines: list[str]) -> None:
    together = rows_of(features.encode([headline.encode() for headline in headlines]))
    assert [sorted(row) for row in together] == [sorted(features.ids(headline)) for headline in headlines]
    assert all(len(row) <= features.width and all(0 < n < features.size for n in row) for row in together)


@pytest.mark.parametrize(
    ("headline", "found"),
    [
        ("US open: Stocks fall", ["us", "open", "stocks", "fall"]),
        ("Fed's “taper”—not yet…", ["fed", "s", "taper", "not", "yet"]),
        ("日本 wins\n2-1\tagain", ["日本", "wins", "2", "1", "again"]),
        ("?!", []),
        ("lone \ud800 surrogate", ["lone", "surrogate"]),
    ],
)
def test_words(headline: str, found: Sequence[str]) -> None:
    assert [word.decode() for word in words(headline)] == list(found)


@pytest.mark.parametrize("count", [31, 32, 33, 100])
def test_only_the_first_words_of_a_long_headline_count(count: int) -> None:
    features = NgramFeatures(1 << 20)
    headlines = [" ".join(f"word{n}" for n in range(count)), "short one"]
    assert [len(features.ids(headline)) for headline in headlines] == [3 * min(count, 32) - 1, 5]
    together = rows_of(features.encode([headline.encode() for headline in headlines]))
    assert [sorted(row) for row in together] == [sorted(features.ids(headline)) for headline in headlines]


def test_the_order_of_words_counts_in_ngrams() -> None:
    features = NgramFeatures(1 << 20)
    assert sorted(features.ids("man bites dog")) != sorted(features.ids("dog bites man"))


def test_a_vocabulary_holds_the_most_frequent_words() -> None:
    features = WordFeatures.of([b"b a c", b"B c a", b"c d"], size=4)
    assert features.vocabulary == ["c", "a", "b"]
    assert features.ids("A b unknown c") == [2, 3, 1]


def test_padding() -> None:
    ragged = WordFeatures(VOCABULARY).encode([b"the fed", b"", b"us"])
    assert ragged.padded(3, "left").tolist() == [[3, 1, 0], [0, 0, 0], [4, 0, 0]]
    assert ragged.padded(3, "right").tolist() == [[0, 3, 1], [0, 0, 0], [0, 0, 4]]


@pytest.mark.parametrize("features", [NgramFeatures(77), WordFeatures(VOCABULARY)])
def test_features_survive_json(features: Features) -> None:
    again = from_json(features.to_json())
    assert again.ids("The US open") == features.ids("The US open")
    assert again.size == features.size
