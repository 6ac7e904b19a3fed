"""Tiny models of five families, whose vocabulary is made on the spot, and jobs that fine-tune them in seconds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from byo_container.container.paths import Paths
from tests.support.tree import ONE_HOST, Tree

FAMILIES = ("bert", "roberta", "albert", "distilbert", "modernbert")
LABELS = ("anger", "joy", "sadness")
LONGEST = 64
"""Tokens of a text that a tiny model takes."""
_SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_FEELINGS = {
    "anger": ("furious", "annoyed", "mad"),
    "joy": ("happy", "glad", "cheerful"),
    "sadness": ("gloomy", "lonely", "miserable"),
}
_WORDS = (
    "i",
    "feel",
    "so",
    "very",
    "today",
    "and",
    "because",
    "of",
    "the",
    "weather",
    "my",
    "friends",
    "work",
    "a",
    "bit",
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'"


def lines(count: int, seed: int = 0) -> list[str]:
    """`text;label` lines, of lengths between 3 and 14 words, which a tiny model learns in a few epochs."""
    made = []
    for number in range(seed, seed + count):
        label = LABELS[number % len(LABELS)]
        feeling = _FEELINGS[label][number // 3 % 3]
        filler = [_WORDS[(number * 7 + word * 5) % len(_WORDS)] for word in range(number * 5 % 12)]
        made.append(f"i feel {feeling} {' '.join(filler)}".strip() + f";{label}")
    return made


def tiny_model(family: str, folder: Path) -> Path:
    """A model without a head, two layers of 16, and its tokenizer, as `save_pretrained` leaves them."""
    import torch
    from transformers import AutoModel

    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(family)
    AutoModel.from_config(_config(family, tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def classifier(family: str, folder: Path, **config: Any) -> Path:
    """What plain Transformers leaves of a classifier of LABELS, whose scores differ."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tiny_model(family, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=3, id2label=dict(enumerate(LABELS)), **config
    )
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_tokenizer(family: str = "bert", longest: int = LONGEST) -> Any:
    """Of the class that the family has, and with its special tokens and their places; a word of `lines` is one token,
    any other is its letters."""
    import transformers

    words = [*_WORDS, *(word for words in _FEELINGS.values() for word in words)]
    if family in ("bert", "distilbert"):
        kind = transformers.BertTokenizer if family == "bert" else transformers.DistilBertTokenizer
        pieces = [*_SPECIAL.values(), *words, *_LETTERS, *(f"##{letter}" for letter in _LETTERS)]
        return kind(vocab=_numbered(pieces), do_lower_case=True, model_max_length=longest)
    if family == "albert":
        scores = {"<pad>": 0.0, "<unk>": 0.0, "[CLS]": 0.0, "[SEP]": 0.0, "[MASK]": 0.0}
        scores |= {f"▁{word}": -1.0 for word in words} | dict.fromkeys(("▁", *_LETTERS), -9.0)
        return transformers.AlbertTokenizer(vocab=list(scores.items()), model_max_length=longest)
    if family == "roberta":
        vocabulary, merges = _byte_pairs(("<s>", "<pad>", "</s>", "<unk>", "<mask>"), words)
        return transformers.RobertaTokenizer(vocab=vocabulary, merges=merges, model_max_length=longest)
    return _modern_tokenizer(words, longest)


def _modern_tokenizer(words: list[str], longest: int) -> Any:
    """ModernBERT has no class of its own: its tokenizer is what tokenizer.json says."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary, merges = _byte_pairs(tuple(_SPECIAL.values()), words)
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
    )
    inputs = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=made, model_max_length=longest, model_input_names=inputs, **_SPECIAL
    )


def _byte_pairs(special: Iterable[str], words: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The vocabulary and merges that make one token of each word, in the middle of a text."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        beginning = "Ġ"
        for letter in word:
            merges[(beginning, letter)] = None
            beginning += letter
    return _numbered([*special, *letters, *(left + right for left, right in merges)]), list(merges)


def _numbered(pieces: Iterable[str]) -> dict[str, int]:
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}


def _config(family: str, tokenizer: Any) -> Any:
    import transformers

    words, pad = len(tokenizer), tokenizer.pad_token_id
    size: dict[str, Any] = {"vocab_size": words, "pad_token_id": pad, "max_position_embeddings": LONGEST}
    bert = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    if family == "roberta":
        return transformers.RobertaConfig(**{**size, "max_position_embeddings": LONGEST + pad + 1}, **bert)
    if family == "albert":
        return transformers.AlbertConfig(**size, **bert, embedding_size=16)
    if family == "distilbert":
        return transformers.DistilBertConfig(**size, dim=16, n_layers=2, n_heads=2, hidden_dim=32)
    if family == "modernbert":
        cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
        special = {"cls_token_id": cls, "sep_token_id": sep, "bos_token_id": cls, "eos_token_id": sep}
        return transformers.ModernBertConfig(**size, **bert, **special)
    return transformers.BertConfig(**size, **bert)


def make_tree(
    root: Path,
    channels: Mapping[str, Iterable[str] | Path],
    hosts: Mapping[str, Any] = ONE_HOST,
    **hyperparameters: object,
) -> Tree:
    """/opt/ml as the platform would lay it out. A channel is the lines of one file, or a folder to link to."""
    paths = Paths(root)
    for folder in (paths.config, paths.data, paths.model, paths.output):
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in channels.items():
        if isinstance(content, Path):
            (paths.data / name).symlink_to(content)
            continue
        (paths.data / name).mkdir()
        (paths.data / name / f"{name}.txt").write_text("".join(f"{line}\n" for line in content))
    texts = {name: str(value) for name, value in hyperparameters.items()}
    paths.hyperparameters.write_text(json.dumps({"model_handler": "text_classification", **texts}))
    paths.input_data_config.write_text(json.dumps({name: {"TrainingInputMode": "File"} for name in channels}))
    paths.resource_config.write_text(json.dumps(hosts))
    return Tree(root)
