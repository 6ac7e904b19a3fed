"""Translating with a model that knows its grammar, and what happens to text that is out of the ordinary."""

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


def test_it_translates(translator: Translator) -> None:
    assert plain(translator, QUESTION) == [ANSWER]
    german, english = zip(*sample.pairs(40, seed=7), strict=True)
    right = [text.replace("R&B", "R & B") for text in english]
    hits = sum(found == wanted for found, wanted in zip(plain(translator, *german), right, strict=True))
    assert hits >= 30


def test_a_jobs_generation_options_are_the_endpoints_defaults(able: Path, tmp_path: Path) -> None:
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
def test_fairseqs_own_generator_finds_the_same(
    trained: TrainingJob[Any], trained_transformer: TrainingJob[Any], arch: str, beam: int
) -> None:
    """With the scores that it prints, and whatever speed.py does."""
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
    batch = sorted((translator._pieces(text) for text in texts), key=len, reverse=True)
    sample_ = {
        "net_input": translator._search._filled(
            [[task.source_dictionary.index(piece) for piece in pieces] + [2] for pieces in batch]
        )
    }
    theirs = generator.generate([model], sample_)
    for found, hypotheses in zip(translator._search.find(batch, parameters), theirs, strict=True):
        assert len(found) == len(hypotheses)
        for (pieces, score), hypothesis in zip(found, hypotheses, strict=True):
            assert pieces == task.target_dictionary.string(hypothesis["tokens"]).split()
            assert score == pytest.approx(float(hypothesis["score"]) / math.log(2), abs=1e-4)


def test_in_company_a_sentence_is_translated_as_alone(translator: Translator) -> None:
    texts = [german for german, _ in sample.pairs(30, seed=9)] + ["", "Hund", QUESTION * 3]
    together = plain(translator, *texts)
    assert together == [plain(translator, text)[0] for text in texts]
    assert plain(translator, *texts[::-1]) == together[::-1]


def test_batches_hold_no_more_than_they_may(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    find = translator._search.find

    def record(batch: list[list[str]], parameters: Any) -> Any:
        sizes.append((len(batch), (max(map(len, batch)) + 1) * len(batch) * parameters.beam))
        return find(batch, parameters)

    monkeypatch.setattr(translator._search, "find", record)
    monkeypatch.setattr("byo_container.handlers.translation.predictor.MAX_PIECES", 500)
    texts = [german for german, _ in sample.pairs(40, seed=10)]
    assert len(plain(translator, *texts)) == 40
    assert sum(count for count, _ in sizes) == 40
    assert max(pieces for _, pieces in sizes) <= 500
    assert len(sizes) < 20


def test_the_best_and_the_next_best_with_their_scores(translator: Translator) -> None:
    ((best, second, third),) = translator.translate([(QUESTION, replace(translator.defaults, nbest=3))])  # type: ignore[misc]
    assert best.text == ANSWER
    assert 0 > best.score > second.score > third.score
    assert len({best.text, second.text, third.text}) == 3


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\t"])
def test_nothing_stays_nothing(translator: Translator, text: str) -> None:
    assert plain(translator, text) == ["\n\n" if text == "\n\n" else ""]


def test_lines_stay_lines(translator: Translator) -> None:
    assert plain(translator, f"{QUESTION}\r\n\n{QUESTION}") == [f"{ANSWER}\n\n{ANSWER}"]


def test_text_longer_than_any_in_training_is_cut_into_its_sentences(translator: Translator) -> None:
    assert translator.bundle.longest_source is not None
    many = 60
    assert plain(translator, f"{QUESTION} " * many) == [" ".join([ANSWER] * many)]


def test_a_sentence_beyond_the_models_limit_is_refused_with_the_limit(translator: Translator) -> None:
    limit = translator._network.longest - 1
    fits, refused, other = plain(translator, "Auto " * limit, "Auto " * (limit + 1), QUESTION, beam=1, max_len_a=0.0)
    assert isinstance(refused, InputError)
    assert str(refused).startswith("the sentence 'Auto Auto ")
    assert f"has {len(translator._pieces('Auto ' * (limit + 1)))} pieces" in str(refused)
    assert f"reads {limit} at most" in str(refused)
    assert isinstance(fits, str) or len(translator._pieces("Auto " * limit)) > limit
    assert other == ANSWER


def test_a_word_without_end_is_refused(translator: Translator) -> None:
    (refused,) = plain(translator, "a" * 5000)
    assert str(refused) == "the text has a word of 5000 characters; 1000 are read at most"


def test_the_next_best_of_a_text_of_several_sentences_is_refused(translator: Translator) -> None:
    (refused,) = plain(translator, f"{QUESTION}\n{QUESTION}", nbest=2)
    assert "'nbest' is for single sentences, and this text was cut into 2" in str(refused)


def test_unknown_words_are_copied_where_that_is_asked_for(able: Path, tmp_path: Path) -> None:
    """A network that can say nothing but `<unk>`."""
    import torch

    folder = shutil.copytree(able, tmp_path / "model")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    state["model"]["decoder.fc3.bias"].fill_(-100.0)
    state["model"]["decoder.fc3.bias"][torch.tensor([2, 3])] = torch.tensor([0.0, 8.0])  # </s>, and <unk>
    torch.save(state, folder / "checkpoint.pt")
    translator = Translation().load(folder)
    text, words = "Frau 漢 Müller", translator._pieces("Frau 漢 Müller")
    (unknown,) = plain(translator, text, max_len_a=0.0, max_len_b=3)
    assert set(unknown.split()) == {"<unk>"}
    (copied,) = plain(translator, text, max_len_a=0.0, max_len_b=3, replace_unk=True)
    assert "<unk>" not in copied
    assert set(copied.replace(" ", "")) <= set("".join(words))
    assert plain(translator, text, max_len_a=0.0, max_len_b=3) == [unknown]  # one request's wish is not the next one's


def test_the_models_defaults_come_from_its_manifest(able: Path, tmp_path: Path) -> None:
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


def test_threads_take_turns(translator: Translator) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda beam: plain(translator, QUESTION, beam=beam), [1, 5, 2, 5, 1, 3]))
    assert answers == [[ANSWER]] * 6
