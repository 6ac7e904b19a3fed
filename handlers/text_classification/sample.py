"""Writes texts for demonstrations and tests, as the channels train and test, in lines of text;label:

    python -m byo_container.handlers.text_classification.sample FOLDER [--rows N] [--encoder FOLDER]

They are made of hand-written patterns and word lists, and the same each time. --encoder also makes a small BERT that
knows their words and nothing else, for machines that cannot reach the hub. Without it the standard library is enough.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from byo_container.container.failure import JobError
from byo_container.container.files.disk_errors import disk_errors_explained

SEED = 42
ROWS = 600
TEST_SHARE = 0.2
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ENCODER_TEXTS = 5000  # enough for every word of the lists
ENCODER_LENGTH = 128

PATTERNS: dict[str, tuple[str, ...]] = {
    "sadness": (
        "i feel so {low} since {loss}",
        "i cried {when} because {loss}",
        "im {low} and i miss {person} more than ever",
        "nothing helps, i just feel {low} {when}",
        "it hurts that {person} is gone, i feel {low}",
    ),
    "joy": (
        "i feel {glad} because {success}",
        "what a day, {success} and im {glad}",
        "im {glad} to be with {person} {when}",
        "i woke up {glad} and danced {when}",
        "{success}! i have not felt this {glad} for years",
    ),
    "love": (
        "i adore {person} and feel so {tender}",
        "i feel {tender} whenever {person} holds my hand",
        "{person} kissed me {when} and i feel {tender}",
        "i feel {tender} toward {person}, my heart is full",
    ),
    "anger": (
        "i feel {cross} that {wrong}",
        "im so {cross}, {wrong} again",
        "i shouted at {person} {when} because {wrong}",
        "it makes me {cross} when {person} lies to me",
        "i hate how {wrong}, i feel {cross}",
    ),
    "fear": (
        "i feel {afraid} about {threat}",
        "im {afraid} of {threat} and cannot sleep",
        "i hid {when}, {afraid} of {threat}",
        "my hands shake, i feel {afraid} of {threat}",
        "i feel {afraid} that {person} may not come back",
    ),
    "surprise": (
        "i feel {amazed} by {news}",
        "i was {amazed} to hear of {news}",
        "im {amazed}, i never expected {news}",
        "out of nowhere came {news}, i feel {amazed}",
    ),
}
WORDS: dict[str, tuple[str, ...]] = {
    "person": ("my sister", "my best friend", "my husband", "my wife", "my son", "an old friend", "my neighbour"),
    "when": ("today", "this morning", "all night", "the whole weekend", "after work", "on the way home"),
    "low": ("sad", "miserable", "hopeless", "lonely", "gloomy", "heartbroken", "empty"),
    "loss": ("my dog died", "we broke up", "i lost my job", "she moved away", "the funeral"),
    "glad": ("happy", "cheerful", "delighted", "joyful", "content", "thrilled"),
    "success": ("i passed the exam", "we won the game", "i got the job", "the sun is out", "my song is finished"),
    "tender": ("loving", "tender", "affectionate", "romantic", "devoted", "passionate"),
    "cross": ("angry", "furious", "mad", "annoyed", "irritated", "resentful"),
    "wrong": ("the train is late", "they broke my window", "he took my money", "nobody cleans up", "she cheated"),
    "afraid": ("scared", "terrified", "anxious", "nervous", "frightened", "worried"),
    "threat": ("the operation", "the dark", "the storm", "losing my home", "the test results", "strangers"),
    "amazed": ("amazed", "surprised", "stunned", "astonished", "shocked", "speechless"),
    "news": ("the surprise party", "such a strange letter", "her sudden visit", "the lottery win", "that plot twist"),
}


def texts(rows: int) -> Iterator[tuple[str, str]]:
    """(text, label) of `rows` texts, the labels in turn; the same for the same number."""
    dice = random.Random(SEED)  # noqa: S311  repeatable, not secret
    labels = list(PATTERNS)
    for row in range(rows):
        label = labels[row % len(labels)]
        yield _fill(dice.choice(PATTERNS[label]), dice), label


def _fill(pattern: str, dice: random.Random) -> str:
    return re.sub(r"{(\w+)}", lambda match: dice.choice(WORDS[match[1]]), pattern)


def write(folder: Path, rows: int = ROWS) -> tuple[int, int]:
    """Writes train/train.txt and, a fifth of the rows, test/test.txt into `folder`; gives the rows of both."""
    lines = [f"{text};{label}\n" for text, label in texts(rows)]
    held_out = round(rows * TEST_SHARE)
    for name, part in (("train", lines[held_out:]), ("test", lines[:held_out])):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{name}.txt").write_text("".join(part), encoding="utf-8", newline="\n")
    return len(lines) - held_out, held_out


def write_encoder(folder: Path) -> None:
    """Saves an untrained BERT, two layers of 64, and its tokenizer, as `save_pretrained` does."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer, logging

    logging.disable_progress_bar()
    words = sorted({word for text, _ in texts(ENCODER_TEXTS) for word in re.findall(r"\w+|[^\w\s]", text)})
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'"
    pieces = [*SPECIAL, *dict.fromkeys([*words, *letters]), *(f"##{letter}" for letter in letters)]
    tokenizer = BertTokenizer(
        vocab={piece: index for index, piece in enumerate(pieces)}, model_max_length=ENCODER_LENGTH
    )
    torch.manual_seed(SEED)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=ENCODER_LENGTH,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m byo_container.handlers.text_classification.sample", description=__doc__
    )
    parser.add_argument("folder", type=Path, help="where the folders train and test are made")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"how many texts in all (default {ROWS})")
    parser.add_argument("--encoder", type=Path, metavar="FOLDER", help="where a small untrained encoder is saved")
    given = parser.parse_args(arguments)
    if given.rows < 5 * len(PATTERNS):
        parser.error(f"--rows should be {5 * len(PATTERNS)} at least, so that each label is in train and in test")
    try:
        with disk_errors_explained(given.folder):
            train, test = write(given.folder, given.rows)
        print(f"wrote {train:,} texts to {given.folder / 'train'} and {test:,} to {given.folder / 'test'}")
        if given.encoder:
            with disk_errors_explained(given.encoder):
                write_encoder(given.encoder)
            print(f"saved an untrained encoder in {given.encoder}")
    except JobError as error:
        sys.exit(f"sample: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
