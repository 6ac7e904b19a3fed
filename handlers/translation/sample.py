"""Writes German sentences and their English translations for demonstrations and tests, in two files:

    python -m byo_container.handlers.translation.sample FOLDER [--pairs N] [--valid N]

A small grammar generates them, the same each time. They have umlauts, quotes and ampersands, and words that the two
languages spell differently. Standard library only.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from pathlib import Path

SEED = 99
PAIRS, VALID = 2000, 100

# (German nominative, German accusative, English)
PEOPLE = (
    ("der Bäcker", "den Bäcker", "the baker"),
    ("die Schülerin", "die Schülerin", "the pupil"),
    ("ein Mädchen", "ein Mädchen", "a girl"),
    ("der große Hund", "den großen Hund", "the big dog"),
    ("eine müde Katze", "eine müde Katze", "a tired cat"),
    ("Frau Müller", "Frau Müller", "Mrs Müller"),
    ("die Firma Meier & Söhne", "die Firma Meier & Söhne", "the firm Meier & Sons"),
    ("mein Bruder", "meinen Bruder", "my brother"),
)
THINGS = (
    ("ein rotes Auto", "a red car"),
    ("die grüne Tür", "the green door"),
    ("drei süße Äpfel", "three sweet apples"),
    ("einen alten Schlüssel", "an old key"),
    ("das Buch „Über Bäume“", 'the book "About Trees"'),
    ("R&B aus Köln", "R&B from Cologne"),
    ("zwei Körbe voller Brötchen", "two baskets full of rolls"),
)
VERBS = (("sieht", "sees"), ("findet", "finds"), ("sucht", "looks for"), ("verkauft", "sells"), ("mag", "likes"))
PLACES = (
    ("im Park", "in the park"),
    ("vor dem Haus", "in front of the house"),
    ("auf der Straße", "on the street"),
    ("in München", "in Munich"),
    ("am Fluss", "by the river"),
)
TIMES = (("heute", "today"), ("jeden Morgen", "every morning"), ("um 7 Uhr", "at 7 o'clock"), ("später", "later"))


def pairs(count: int, seed: int = SEED) -> Iterator[tuple[str, str]]:
    """`count` sentences, German and English; the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311  repeatable, not secret
    for _ in range(count):
        german, english = _sentence(dice)
        yield german[0].upper() + german[1:], english[0].upper() + english[1:]


def _sentence(dice: random.Random) -> tuple[str, str]:
    who, whom, thing = dice.choice(PEOPLE), dice.choice(PEOPLE), dice.choice(THINGS)
    verb, place, time = dice.choice(VERBS), dice.choice(PLACES), dice.choice(TIMES)
    kind = dice.randrange(4)
    if kind == 0:
        return f"{who[0]} {verb[0]} {thing[0]} {place[0]}.", f"{who[2]} {verb[1]} {thing[1]} {place[1]}."
    if kind == 1:
        return f"{time[0]} {verb[0]} {who[0]} {thing[0]}.", f"{time[1]} {who[2]} {verb[1]} {thing[1]}."
    if kind == 2:
        return f"{who[0]} {verb[0]} {whom[1]} {place[0]}.", f"{who[2]} {verb[1]} {whom[2]} {place[1]}."
    return (
        f"„{place[0]} ist es schön“, sagt {who[0]} {time[0]}.",
        f'"it is nice {place[1]}", {who[2]} says {time[1]}.',
    )


def write(folder: Path, count: int = PAIRS, valid: int = VALID) -> None:
    """Writes train.de and train.en, and valid.de and valid.en unless `valid` is 0."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, number, seed in (("train", count, SEED), ("valid", valid, SEED + 1)):
        if number:
            sides = zip(*pairs(number, seed), strict=True)
            for language, lines in zip(("de", "en"), sides, strict=True):
                (folder / f"{name}.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m byo_container.handlers.translation.sample", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"to train on (default {PAIRS})")
    parser.add_argument("--valid", type=int, default=VALID, help=f"to measure with (default {VALID}); 0 for no files")
    given = parser.parse_args(arguments)
    write(given.folder, given.pairs, given.valid)
    print(f"wrote {given.pairs:,} and {given.valid:,} pairs to {given.folder}")


if __name__ == "__main__":
    main(sys.argv[1:])
