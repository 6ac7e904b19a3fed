"""The real command `serve` with a trained model: every form of body, from raw German to plain English."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from byo_container.handlers.translation import sample
from tests.serving.support.server import servers_below

if TYPE_CHECKING:
    from tests.serving.support.server import Server

pytestmark = pytest.mark.timeout(300)  # a model is trained first

QUESTION, ANSWER = "Frau Müller verkauft R&B aus Köln im Park.", "Mrs Müller sells R & B from Cologne in the park."
SECOND, SECONDS = "Mein Bruder mag die grüne Tür am Fluss.", "My brother likes the green door by the river."


@pytest.fixture(scope="module")
def server(able: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers without any setting: the model remembers its handler."""
    root = tmp_path_factory.mktemp("serve") / "ml"
    shutil.copytree(able, root / "model")
    (root / "model" / "handler.json").write_text('{"handler": "byo_container.handlers.translation:Translation"}')
    with servers_below(lambda: root) as start:
        yield start(root, MODEL_HANDLER="", MODEL_SERVER_WORKERS="2").ready(timeout_s=90)


def post(server: Server, body: str, kind: str, accept: str = "") -> Any:
    return server.post(data=body.encode(), headers={"Content-Type": kind, **({"Accept": accept} if accept else {})})


def test_json_string_is_answered_with_a_json_string(server: Server) -> None:
    answer = server.post(json=QUESTION)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert json.loads(answer.text) == ANSWER


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ([QUESTION, SECOND], [ANSWER, SECONDS]),
        ({"inputs": QUESTION}, ANSWER),
        ({"inputs": [SECOND, ""], "parameters": {"beam": 3, "lenpen": 1.2}}, [SECONDS, ""]),
        ("", ""),
        ([], []),
    ],
)
def test_other_json(server: Server, value: Any, output: Any) -> None:
    assert server.ask(value) == output


def test_scores(server: Server) -> None:
    best, second = server.ask({"inputs": QUESTION, "parameters": {"nbest": 2}})
    assert best["text"] == ANSWER
    assert 0 > best["score"] > second["score"]


def test_fairseqs_generation_options_reach_the_search(server: Server) -> None:
    def ask(text: str = QUESTION, **parameters: Any) -> Any:
        return server.ask({"inputs": text, "parameters": parameters})

    assert ask(sampling=True, sampling_topk=1, beam=1) == ask(beam=1)
    assert len({ask(sampling=True, temperature=20, max_len_b=8, max_len_a=0) for _ in range(8)}) > 4
    assert len({ask(sampling=True, sampling_topp=0.1, temperature=0.1) for _ in range(4)}) == 1
    assert len(ask(min_len=40, max_len_b=60).split()) > len(ANSWER.split())
    strong = ask(nbest=4, beam=4, diverse_beam_groups=4, diverse_beam_strength=50)
    assert len({one["text"].split(" ")[0] for one in strong}) > len({one["text"].split(" ")[0] for one in ask(nbest=4)})
    again = ask(no_repeat_ngram_size=1, min_len=30, max_len_b=40, beam=1).lower().split()
    assert len(again) > len(set(ask(min_len=30, max_len_b=40, beam=1).lower().split()))
    assert ask(nbest=2, unnormalized=True)[0]["score"] < ask(nbest=2)[0]["score"], "not divided by its tokens"
    assert ask(unkpen=3, temperature=1.5, diversity_rate=0.1) == ANSWER


def test_text_plain_is_translated_line_by_line(server: Server) -> None:
    text = post(server, f"{QUESTION}\n{SECOND}\n", "text/plain; charset=utf-8", "text/plain")
    assert text.content.decode() == f"{ANSWER}\n{SECONDS}\n"
    lines = post(server, f'"{QUESTION}"\n["{SECOND}"]\n', "application/jsonlines", "application/jsonlines")
    assert [json.loads(line) for line in lines.content.decode().splitlines()] == [ANSWER, [SECONDS]]
    table = f'"{QUESTION}"\n"{SECOND}","{QUESTION}"\n'
    assert post(server, table, "text/csv", "text/csv").content.decode() == f"{ANSWER}\n{SECONDS},{ANSWER}\n"
    assert post(server, table, "text/csv").json() == [ANSWER, [SECONDS, ANSWER]]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"inputs": "a", "parameters": {"beem": 5}}, "unknown parameter 'beem'; did you mean 'beam'"),
        ({"inputs": "a", "parameters": {"beam": 5000}}, "'beam' is 5000; it must be a whole number"),
        ({"inputs": "a", "parameters": {"temperature": 0}}, "'temperature' is 0; it must be a number, above 0"),
        ({"inputs": "a", "parameters": {"diverse_beam_groups": 2}}, "it must be a multiple of 'diverse_beam_groups'"),
        ({"inputs": "a", "parameters": {"sampling_topk": 9}}, "'sampling_topk' is for sampling"),
        (["a", 7], "item 1 of the list is 7; it should be a text"),
        ("Auto " * 3000, "subword tokens (words and parts of rare ones), and this model reads 1021 at most"),
    ],
)
def test_invalid_input_is_a_400_with_advice(server: Server, value: Any, message: str) -> None:
    answer = server.post(json=value)
    assert answer.status_code == 400
    assert message in answer.json()["message"]


def test_invalid_line_is_named(server: Server) -> None:
    answer = post(server, f'"{QUESTION}"\n5\n', "application/jsonlines")
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("record 2: the input is 5")


def test_concurrent_clients_get_their_own_answers(server: Server) -> None:
    german, english = zip(*sample.pairs(48, seed=11), strict=True)
    expected = [server.ask(text) for text in german]
    bodies: list[Any] = [*german]
    bodies[5::12] = [{"inputs": text, "parameters": {"beem": 1}} for text in german[5::12]]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda body: server.post(json=body), bodies))
    for place, (answer, text) in enumerate(zip(answers, expected, strict=True)):
        if place % 12 == 5:
            assert answer.status_code == 400
        else:
            assert (answer.status_code, answer.json()) == (200, text)
    assert sum(text == wanted.replace("R&B", "R & B") for text, wanted in zip(expected, english, strict=True)) > 30


@pytest.mark.slow
def test_directory_made_by_fairseq_is_served(able: Path, tmp_path: Path) -> None:
    root = tmp_path / "ml"
    shutil.copytree(able, root / "model")
    (root / "model" / "translation.json").unlink()
    (root / "model" / "checkpoint.pt").rename(root / "model" / "checkpoint_best.pt")
    (root / "model" / "codes").rename(root / "model" / "bpe.codes")
    with servers_below(lambda: root) as start:
        assert start(root, MODEL_HANDLER="translation").ready(timeout_s=90).ask(QUESTION) == ANSWER


@pytest.mark.slow
def test_a_checkpoint_with_code_in_it_is_not_served(able: Path, tmp_path: Path) -> None:
    from tests.handlers.translation.checkpoints import Bomb, change

    root = tmp_path / "ml"
    shutil.copytree(able, root / "model")
    change(root / "model" / "checkpoint.pt", lambda state: state.update(extra=Bomb(tmp_path / "mark")))
    with servers_below(lambda: root) as start:
        server = start(root, MODEL_HANDLER="translation")
        server.until(lambda: server.status() == 500, "/ping is 500", 90)
        assert "could run code" in server.log()
    assert not (tmp_path / "mark").exists()
