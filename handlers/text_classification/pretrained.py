"""Where the encoder and its tokenizer come from: a name of the hub, a path, or the channel `model`.

No code that comes with a model runs, and pickled weights are loaded only where the job allows it, and then by PyTorch's
restricted unpickler.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobError
from byo_container.container.files import archives
from byo_container.container.job import TrainingJob
from byo_container.handlers.text_classification import model_parts
from byo_container.handlers.text_classification.hyperparameters import Hyperparameters

CHANNEL = "model"
CONFIG = "config.json"
ARCHIVE = "model.tar.gz"
SAFE = ("model.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
TOKENIZER = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
OTHERS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")
DEFAULT_LENGTH = 512
"""Tokens of a text where the job does not say, as the sample has it: ModernBERT would take 8,192."""
HUB = "https://huggingface.co"
REACHABLE_S = 3.0
UNREACHABLE = "the hub cannot be reached from here, and its files are not in the cache"


@dataclass(frozen=True)
class Advice:
    """What messages tell to do: a job is set up in another way than an endpoint."""

    allow_pickle: str
    bring_files: str
    name: str


JOB = Advice("the hyperparameter allow_pickle=true", "bring its files in a channel `model`", "model_id")


@dataclass(frozen=True)
class Pretrained:
    """A model with a new head, its tokenizer, and the longest text in tokens."""

    model: Any
    tokenizer: Any
    max_length: int


def find(job: TrainingJob[Hyperparameters], scratch: Path) -> str:
    """What `from_pretrained` takes: a folder, or a name of the hub. Raises JobError. An archive in the channel is
    unpacked in `scratch`, which is removed after the job."""
    name = job.hyperparameters.model_id
    if name and is_folder(name):
        return str(_folder_in(Path(name), "the hyperparameter model_id"))
    if _comes_in_channel(job):
        return str(_in_channel(job, scratch))
    if not name:
        raise JobError(
            "this job needs a pretrained model: the hyperparameter model_id, a name of the hub such as "
            "bert-base-uncased or a path, or a channel `model` with its files"
        )
    if name.startswith(("/", "./", "../", "~")):
        raise JobError(f"model_id is {name!r}, and there is no such folder; it should hold {needed()}")
    return name


def origin(job: TrainingJob[Hyperparameters]) -> str:
    """Where `find` has found it, for the log."""
    name = job.hyperparameters.model_id
    if not _comes_in_channel(job):
        return str(name)
    return f"the model of channel {CHANNEL!r}" + (f", and not the hub's {name}" if name else "")


def _comes_in_channel(job: TrainingJob[Hyperparameters]) -> bool:
    name = job.hyperparameters.model_id
    return CHANNEL in job.channels and not (name and is_folder(name))


def is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:  # a name that is too long for a path
        return False


def _in_channel(job: TrainingJob[Hyperparameters], scratch: Path) -> Path:
    channel = job.channel(CHANNEL)
    archive = channel.path / ARCHIVE
    if archive.is_file() and not (channel.path / CONFIG).is_file():
        unpacked = scratch / "pretrained"
        unpacked.mkdir()
        archives.unpack(archive, unpacked, f"channel {CHANNEL!r}: {archive}")
        return _folder_in(unpacked, f"channel {CHANNEL!r}, {archive}")
    return _folder_in(channel.path, f"channel {CHANNEL!r}")


def _folder_in(folder: Path, where: str) -> Path:
    """The folder with config.json: `folder`, or the only one below it. Raises JobError."""
    if (folder / CONFIG).is_file():
        return folder
    found = sorted({path.parent for path in folder.rglob(CONFIG) if path.is_file()}, key=lambda path: len(path.parts))
    # A model may have folders with a config.json below it, such as ONNX's.
    outermost = [path for path in found if not any(other in path.parents for other in found)]
    if len(outermost) == 1:
        return outermost[0]
    if outermost:
        names = ", ".join(str(path.relative_to(folder)) for path in outermost[:5])
        raise JobError(f"{where}: {folder} holds {len(outermost)} models ({names}); leave one, or name it by model_id")
    raise JobError(
        f"{where}: {folder} has no {CONFIG}; a model's folder has {needed()}, and this one holds {held(folder)}"
    )


def held(folder: Path) -> str:
    """The names of what is in a folder, for messages."""
    return ", ".join(sorted(path.name for path in folder.glob("*"))[:20]) or "nothing"


def needed() -> str:
    return f"{CONFIG}, {SAFE[0]} and the tokenizer's files ({', '.join(TOKENIZER[:2])} or the like)"


def check_files(folder: Path, allow_pickle: bool, advice: Advice = JOB) -> None:
    """Raises JobError that names the file which a model's folder lacks, or which is none."""
    known = {CONFIG, *SAFE, *PICKLED, *TOKENIZER, *OTHERS}
    for path in sorted(folder.iterdir()):
        if path.name in known and not path.is_file():  # Transformers would wait for a pipe, or do without a tokenizer
            raise JobError(f"{path} is no file, but a folder, a pipe or a link to nothing; it should be a model's file")
    names = {path.name for path in folder.iterdir()}
    if not names & set(SAFE):
        if not names & set(PICKLED):
            raise JobError(f"{folder} lacks {SAFE[0]}, the model's weights; it holds {held(folder)}")
        if not allow_pickle:
            raise JobError(
                f"{folder} has its weights in {', '.join(sorted(names & set(PICKLED)))}, which is pickled, and could "
                f"hold code; bring {SAFE[0]}, or set {advice.allow_pickle} (it is read by PyTorch's "
                "restricted unpickler then)"
            )
    if not names & set(TOKENIZER):
        raise JobError(
            f"{folder} lacks the tokenizer: one of {', '.join(TOKENIZER)} should be there, as save_pretrained of the "
            f"tokenizer writes it; it holds {held(folder)}"
        )


def load(source: str, labels: tuple[str, ...], chosen: Hyperparameters) -> Pretrained:
    """The model at `source` (see `find`) with a head for `labels`, and its tokenizer. Raises JobError."""
    folder = Path(source)
    if folder.is_dir():
        check_files(folder, chosen.allow_pickle)
    with explained(source, chosen.allow_pickle):
        from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

        own = {"trust_remote_code": False}
        config = AutoConfig.from_pretrained(source, **own)
        check_family(source, config)
        tokenizer: Any = AutoTokenizer.from_pretrained(source, **own)
        max_length = longest(tokenizer, config, chosen.max_length)
        model_parts.check_length(source, tokenizer, max_length)
        tokenizer.model_max_length = max_length
        model, info = AutoModelForSequenceClassification.from_pretrained(
            source,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={name: index for index, name in enumerate(labels)},
            problem_type="single_label_classification",
            use_safetensors=None if chosen.allow_pickle else True,
            dtype="float32",
            ignore_mismatched_sizes=True,  # the head of a classifier with other labels
            output_loading_info=True,
            **own,
        )
    give_padding(tokenizer, model.config)
    model_parts.check_weights(source, model, info, new_head=True)
    model_parts.check_vocabulary(source, tokenizer, model.get_input_embeddings().num_embeddings)
    return Pretrained(model, tokenizer, max_length)


def longest(tokenizer: Any, config: Any, asked: int | None) -> int:
    """The tokens of a text at most: what the job asks for, which the model must be able to take. Raises JobError."""
    limit = model_limit(tokenizer, config)
    if asked is None:
        return min(DEFAULT_LENGTH, limit) if limit else DEFAULT_LENGTH
    if limit and asked > limit:
        raise JobError(f"max_length is {asked}, and the model takes {limit} tokens at most")
    least = tokenizer.num_special_tokens_to_add()
    if asked <= least:
        raise JobError(f"max_length is {asked}, and {least} of these are special tokens; it must be above {least}")
    return asked


def model_limit(tokenizer: Any, config: Any) -> int | None:
    """The tokens that a model takes at most; None without a limit. RoBERTa's positions begin after that of padding."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions and getattr(config, "model_type", "") in OFFSET_POSITIONS:
        positions -= (getattr(config, "pad_token_id", None) or 0) + 1
    limits = (positions, model_parts.whole(tokenizer.model_max_length))
    known = [limit for limit in limits if limit and 0 < limit < UNLIMITED]
    return min(known, default=None)


OFFSET_POSITIONS = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "mpnet", "data2vec-text")
PADDED_LEFT = ("xlnet",)
UNLIMITED = 1_000_000
"""Transformers writes 10^30 for a tokenizer without a limit."""


def give_padding(tokenizer: Any, config: Any) -> None:
    """A decoder such as GPT-2 comes without a token for padding, and has one for the end of a text, which serves. Its
    head classifies by the last token before the padding, so the model has to know it."""
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
        tokenizer.pad_token = tokenizer.eos_token
    if getattr(config, "pad_token_id", None) is None:
        config.pad_token_id = tokenizer.pad_token_id


def check_family(source: str, config: Any) -> None:
    """Raises JobError for a model whose texts end at the right: here they begin at the left of their batch."""
    if getattr(config, "model_type", "") in PADDED_LEFT:
        raise JobError(
            f"{source} is of the family {config.model_type}, which needs texts that are padded at the left, and the "
            "handler text_classification pads at the right; use a script of your own, and serve it without the handler"
        )


@contextmanager
def explained(source: str, allow_pickle: bool, advice: Advice = JOB) -> Iterator[None]:
    """Turns the errors of `from_pretrained` into a JobError; a hub that cannot be reached is not waited for."""
    is_local = is_folder(source)
    with cache_alone(is_local or not hub_is_reachable()) as offline:
        try:
            yield
        except JobError:
            raise
        except Exception as error:  # of every kind: each file has a reader of its own
            text = " ".join(str(error).split())[:500]
            if is_local:
                raise JobError(f"the model in {source} cannot be loaded: {type(error).__name__}: {text}") from error
            if not allow_pickle and any(name in text for name in (*SAFE, "safetensors")):
                raise JobError(
                    f"{source} has no {SAFE[0]}, and pickled weights are loaded only with {advice.allow_pickle}: {text}"
                ) from error
            reach = UNREACHABLE if offline else text
            raise JobError(
                f"the model {source!r} cannot be loaded: {reach}; {advice.bring_files} ({needed()}), or correct "
                f"{advice.name}"
            ) from error


@contextmanager
def cache_alone(offline: bool) -> Iterator[bool]:
    """Whether huggingface_hub looks at its cache alone, for this block."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or offline
    try:
        yield bool(constants.HF_HUB_OFFLINE)
    finally:
        constants.HF_HUB_OFFLINE = before


def hub_is_reachable(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the hub, or the proxy on the way to it, answers within REACHABLE_S. The hub's own client would retry for
    minutes."""
    from urllib.parse import urlsplit

    proxy = environ.get("HTTPS_PROXY") or environ.get("https_proxy")
    url = urlsplit(proxy or environ.get("HF_ENDPOINT") or HUB)
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        with socket.create_connection((url.hostname or "", port), REACHABLE_S):
            return True
    except OSError:
        return False
