"""Translations of a trained model, and of unusual text."""

from __future__ import annotations

import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from byo_container.container.handler import InputError
from byo_container.container.job import TrainingJob
from byo_container.handlers.translation import Translation, sample
from tests.handlers.translation.support import TRANSFORMER, finish

if TYPE_CHECKING:
    from byo_container.handlers.translation.predictor import Translator

pytestmark = pytest.mark.timeout(300)  # a model is trained first

QUESTION, ANSWER = "Frau Müller verkauft R&B aus Köln im Park.", "Mrs Müller sells R & B from Cologne in the park."


@pytest.fixture(scope="module")
def trained_transformer(ready: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingJob[Any]:
    return finish(tmp_path_factory.mktemp("transformer"), ready, **TRANSFORMER)


@pytest.fixture(scope="module")
def translator(able: Path) -> Translator:
    return Translation().load(able)


def plain(translator: Translator, *texts: str, **parameters: Any) -> list[Any]:
    """The best translation of each text, or its InputError."""
    wanted = [(text, replace(translator.defaults, **parameters)) for text in texts]
    return [found if isinstance(found, InputError) else found[0].text for found in translator.translate(wanted)]


def test_trained_model_translates(translator: Translator) -> None:
    assert plain(translator, QUESTION) == [ANSWER]
    german, english = zip(*sample.pairs(40, seed=7), strict=True)
    right = [text.replace("R&B", "R & B") for text in english]
    hits = sum(found == wanted for found, wanted in zip(plain(translator, *german), right, strict=True))
    assert hits >= 30


def test_generation_options_of_the_job_are_request_defaults(able: Path, tmp_path: Path) -> None:
    shutil.copytree(able, tmp_path / "model")
    path = tmp_path / "model" / "translation.json"
    defaults: dict[str, Any] = {
        "sampling": True,
        "sampling_topk": 1_000_000,
        "temperature": 30,
        "min_len": 200,
        "beam": 2,
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | {"generation": defaults}))
    changed = Translation().load(tmp_path / "model")
    assert changed.defaults == replace(changed.defaults, **defaults)
    short: dict[str, Any] = {"max_len_a": 0.0, "max_len_b": 8}  # of which min_len=200 is no fault
    assert len({plain(changed, QUESTION, **short)[0] for _ in range(6)}) > 3
    assert plain(changed, QUESTION, sampling=False, temperature=1.0, min_len=1) == [ANSWER]


@pytest.mark.parametrize("arch", ["fconv", "transformer"])
@pytest.mark.parametrize("beam", [1, 4])
def test_translations_equal_those_of_fairseqs_generator(
    trained: TrainingJob[Any], trained_transformer: TrainingJob[Any], arch: str, beam: int
) -> None:
    """With the same scores, in spite of the optimisations in speed.py."""
    from fairseq import checkpoint_utils
    from fairseq.sequence_generator import SequenceGenerator

    folder = (trained if arch == "fconv" else trained_transformer).model_dir
    translator = Translation().load(folder)
    (model,), _, task = checkpoint_utils.load_model_ensemble_and_task(
        [str(folder / "checkpoint.pt")], arg_overrides={"data": str(folder)}
    )
    generator = SequenceGenerator([model.eval()], task.target_dictionary, beam_size=beam, max_len_b=9)
    parameters = replace(translator.defaults, beam=beam, nbest=beam, max_len_a=0.0, max_len_b=9)
    texts = [german for german, _ in sample.pairs(12, seed=8)]
    batch = sorted((translator._tokens(text) for text in texts), key=len, reverse=True)
    sample_ = {
        "net_input": translator._search._padded(
            [[task.source_dictionary.index(token) for token in tokens] + [2] for tokens in batch]
        )
    }
    theirs = generator.generate([model], sample_)
    for found, hypotheses in zip(translator._search.search(batch, parameters), theirs, strict=True):
        assert len(found) == len(hypotheses)
        for (tokens, score), hypothesis in zip(found, hypotheses, strict=True):
            assert tokens == task.target_dictionary.string(hypothesis["tokens"]).split()
            assert score == pytest.approx(float(hypothesis["score"]) / math.log(2), abs=1e-4)


def test_translation_does_not_depend_on_the_batch(translator: Translator) -> None:
    texts = [german for german, _ in sample.pairs(30, seed=9)] + ["", "Hund", QUESTION * 3]
    together = plain(translator, *texts)
    assert together == [plain(translator, text)[0] for text in texts]
    assert plain(translator, *texts[::-1]) == together[::-1]


def test_batch_size_is_limited_in_tokens(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    search = translator._search.search

    def record(batch: list[list[str]], parameters: Any) -> Any:
        sizes.append((len(batch), (max(map(len, batch)) + 1) * len(batch) * parameters.beam))
        return search(batch, parameters)

    monkeypatch.setattr(translator._search, "search", record)
    monkeypatch.setattr("byo_container.handlers.translation.predictor.MAX_TOKENS", 500)
    texts = [german for german, _ in sample.pairs(40, seed=10)]
    assert len(plain(translator, *texts)) == 40
    assert sum(count for count, _ in sizes) == 40
    assert max(tokens for _, tokens in sizes) <= 500
    assert len(sizes) < 20


def test_nbest_translations_have_descending_scores(translator: Translator) -> None:
    ((best, second, third),) = translator.translate([(QUESTION, replace(translator.defaults, nbest=3))])  # type: ignore[misc]
    assert best.text == ANSWER
    assert 0 > best.score > second.score > third.score
    assert len({best.text, second.text, third.text}) == 3


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\t"])
def test_blank_text_is_translated_to_blank_text(translator: Translator, text: str) -> None:
    assert plain(translator, text) == ["\n\n" if text == "\n\n" else ""]


def test_line_breaks_are_kept(translator: Translator) -> None:
    assert plain(translator, f"{QUESTION}\r\n\n{QUESTION}") == [f"{ANSWER}\n\n{ANSWER}"]


def test_text_longer_than_training_text_is_split_into_sentences(translator: Translator) -> None:
    assert translator.manifest.longest_source is not None
    many = 60
    assert plain(translator, f"{QUESTION} " * many) == [" ".join([ANSWER] * many)]


def test_sentence_over_the_token_limit_is_refused(translator: Translator) -> None:
    limit = translator._max_tokens
    fits, refused, other = plain(translator, "Auto " * limit, "Auto " * (limit + 1), QUESTION, beam=1, max_len_a=0.0)
    assert isinstance(refused, InputError)
    assert str(refused).startswith("the sentence 'Auto Auto ")
    assert f"has {len(translator._tokens('Auto ' * (limit + 1)))} subword tokens" in str(refused)
    assert f"reads {limit} at most" in str(refused)
    assert isinstance(fits, str) or len(translator._tokens("Auto " * limit)) > limit
    assert other == ANSWER


def test_overlong_word_is_refused(translator: Translator) -> None:
    (refused,) = plain(translator, "a" * 5000)
    assert str(refused) == "the text has a word of 5000 characters; 1000 are read at most"


def test_nbest_of_several_sentences_is_refused(translator: Translator) -> None:
    (refused,) = plain(translator, f"{QUESTION}\n{QUESTION}", nbest=2)
    assert "'nbest' is for single sentences, and this text was cut into 2" in str(refused)


def test_replace_unk_copies_unknown_words(able: Path, tmp_path: Path) -> None:
    """By a model that only produces `<unk>`."""
    import torch

    folder = shutil.copytree(able, tmp_path / "model")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    state["model"]["decoder.fc3.bias"].fill_(-100.0)
    state["model"]["decoder.fc3.bias"][torch.tensor([2, 3])] = torch.tensor([0.0, 8.0])  # </s>, and <unk>
    torch.save(state, folder / "checkpoint.pt")
    translator = Translation().load(folder)
    text, words = "Frau 漢 Müller", translator._tokens("Frau 漢 Müller")
    (unknown,) = plain(translator, text, max_len_a=0.0, max_len_b=3)
    assert set(unknown.split()) == {"<unk>"}
    (copied,) = plain(translator, text, max_len_a=0.0, max_len_b=3, replace_unk=True)
    assert "<unk>" not in copied
    assert set(copied.replace(" ", "")) <= set("".join(words))
    assert plain(translator, text, max_len_a=0.0, max_len_b=3) == [unknown]  # one request's wish is not the next one's


def test_parameter_defaults_come_from_the_manifest(able: Path, tmp_path: Path) -> None:
    from byo_container.container.failure import JobError

    folder = shutil.copytree(able, tmp_path / "model")
    manifest = folder / "translation.json"
    values = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(values | {"generation": {"beam": 2, "max_len_a": 0, "max_len_b": 3}}))
    translator = Translation().load(folder)
    assert (translator.defaults.beam, translator.defaults.max_len_b) == (2, 3)
    assert len(plain(translator, QUESTION)[0]) < len(ANSWER) / 2
    manifest.write_text(json.dumps(values | {"generation": {"beem": 2}}))
    with pytest.raises(JobError, match=r"translation\.json: in 'generation', unknown parameter 'beem'; did you mean"):
        Translation().load(folder)


def test_translator_is_thread_safe(translator: Translator) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda beam: plain(translator, QUESTION, beam=beam), [1, 5, 2, 5, 1, 3]))
    assert answers == [[ANSWER]] * 6
