"""What fairseq's prepare-iwslt14.sh and fairseq-preprocess leave, made of the sample's sentences.

As there: words of Moses' tokeniser, no normalising, lower case, every 23rd pair held out, BPE learned on both
languages; `tmp` keeps the text before it was cut.
https://github.com/facebookresearch/fairseq/tree/v0.12.2/examples/translation
"""

from __future__ import annotations

from pathlib import Path

from sacremoses import MosesTokenizer
from subword_nmt.apply_bpe import BPE
from subword_nmt.learn_bpe import learn_bpe

from byo_container.handlers.translation import compat, sample

LANGUAGES = ("de", "en")


def write(folder: Path, pairs: int, merges: int = 300, tokenizer_words: dict[str, bool] | None = None) -> None:
    """iwslt14.tokenized.de-en: `code`, and train, valid and test, segmented by BPE."""
    (folder / "tmp").mkdir(parents=True)
    for language, lines in zip(LANGUAGES, zip(*sample.pairs(pairs), strict=True), strict=True):
        tokenizer = MosesTokenizer(language)
        words = [tokenizer.tokenize(line, return_str=True, **(tokenizer_words or {})).lower() for line in lines]
        parts = {"train": [line for n, line in enumerate(words, 1) if n % 23], "valid": words[22::23]}
        for part, text in {**parts, "test": words[:20]}.items():
            (folder / "tmp" / f"{part}.{language}").write_text("\n".join(text) + "\n", encoding="utf-8")
    both = "".join((folder / "tmp" / f"train.{language}").read_text(encoding="utf-8") for language in LANGUAGES)
    (folder / "tmp" / "train.en-de").write_text(both, encoding="utf-8")
    with (folder / "code").open("w", encoding="utf-8") as codes:
        learn_bpe(both.splitlines(), codes, merges)
    with (folder / "code").open(encoding="utf-8") as codes:
        bpe = BPE(codes)
    for path in sorted((folder / "tmp").glob("*.??")):
        cut = [bpe.process_line(line) for line in path.read_text(encoding="utf-8").splitlines()]
        (folder / path.name).write_text("\n".join(cut) + "\n", encoding="utf-8")


def binarise(text: Path, destination: Path) -> None:
    """fairseq-preprocess with the README's options."""
    compat.install()
    from fairseq import options
    from fairseq_cli import preprocess

    words = ["--source-lang=de", "--target-lang=en", f"--destdir={destination}"]
    words += [f"--{part}pref={text / part}" for part in ("train", "valid", "test")]
    preprocess.main(options.get_preprocessing_parser().parse_args(words))
