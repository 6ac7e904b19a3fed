"""Text that somebody has tokenised, or cut by BPE, already."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from byo_container.container.failure import JobError
from byo_container.handlers.translation import prepare as command
from byo_container.handlers.translation import sample
from byo_container.handlers.translation.prepare import PrepareOptions, prepare
from byo_container.handlers.translation.preprocessing import binary, conventions, corpus, prepared, pretokenized
from byo_container.handlers.translation.preprocessing.prepared import PreparedText
from byo_container.handlers.translation.preprocessing.pretokenized import State
from byo_container.handlers.translation.text import Text, unescape
from tests.handlers.translation import iwslt14

PLAIN = [german for german, _ in sample.pairs(50)]
MOSES = [Text("de").tokenize(line) for line in PLAIN]


@pytest.fixture(scope="module")
def upload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the script leaves, and nothing else."""
    folder = tmp_path_factory.mktemp("upload") / "iwslt14.tokenized.de-en"
    iwslt14.write(folder, 500)
    return folder


@pytest.fixture
def text(upload: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(upload, tmp_path / "text"))


def prepare_all(folder: Path, destination: Path, recipe: PrepareOptions = PrepareOptions(300)) -> PreparedText:  # noqa: B008
    """As `train` does, for which folders below count too."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return prepare(corpus.find(files, "de", "en", where=str(folder)), destination, recipe)


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        (PLAIN, State.PLAIN),
        (MOSES, State.TOKENISED),
        ([line.replace("er ", "@@ er ") for line in MOSES], State.SEGMENTED),
        (["Hallo Welt", "Danke schön"], State.PLAIN),
        (["Il dit : « Oui ! »", "Vraiment ? Non, merci."], State.PLAIN),
        (["don't do that , please .", "it's fine , isn't it ?"], State.PLAIN),
        (["Schreib an a@@b, oder @@ c.", *PLAIN], State.PLAIN),
        (["", " "], State.PLAIN),
        (["Das hat der Dr. , die usw. und z.B. Prof. gesagt ."], State.TOKENISED),
    ],
)
def test_state_of_text_is_detected(lines: list[str], state: State) -> None:
    assert pretokenized.state(lines) is state


def test_segmented_text_is_binarised_as_fairseq_does(upload: Path, tmp_path: Path) -> None:
    made = prepare_all(upload, tmp_path / "made")
    iwslt14.binarise(upload, tmp_path / "theirs")
    theirs = {path.name: path.read_bytes() for path in (tmp_path / "theirs").iterdir() if "test" not in path.name}
    del theirs["preprocess.log"]
    ours = {path.name: path.read_bytes() for path in made.folder.iterdir()}
    assert {name: ours[name] for name in theirs} == theirs
    assert ours["codes"] == (upload / "code").read_bytes()
    assert made.conventions.lowercase
    wanted = [english.lower() for _, english in sample.pairs(500)][22::23]
    assert ours["valid.en"].decode().replace("R & B", "R&B").splitlines() == [
        line.replace("R & B", "R&B") for line in wanted
    ], "plain text to measure with"


def test_binary_text_of_fairseq_has_the_same_facts(upload: Path, tmp_path: Path) -> None:
    made = prepare_all(upload, tmp_path / "made")
    iwslt14.binarise(upload, tmp_path / "theirs")
    shutil.copy(upload / "code", tmp_path / "theirs")
    theirs = prepared.find(sorted((tmp_path / "theirs").iterdir()), None, None)
    assert theirs
    assert theirs.conventions == made.conventions
    facts = {name: made.facts[name] for name in ("train_lines", "valid_lines", "longest_source")}
    assert {name: theirs.facts[name] for name in facts} == facts
    assert theirs.facts["train_megabytes"] == pytest.approx(made.facts["train_megabytes"], rel=0.03)


def test_prepare_command_takes_segmented_text(upload: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(upload), str(tmp_path / "out"), "--source-lang", "de", "--target-lang", "en"]
    assert command.main(words) == 0
    out = capsys.readouterr().out
    assert "train.de is cut into subword tokens by BPE already: it is used as it is, and" in out
    assert "479 pairs to train on, 21 to measure with" in out


def test_segmented_text_needs_its_codes(text: Path, tmp_path: Path) -> None:
    (text / "code").unlink()
    lines = (text / "train.de").read_text().splitlines()
    first = next(number for number, line in enumerate(lines, 1) if "@@ " in line)
    with pytest.raises(
        JobError, match=rf"train\.de, line {first}, is cut .* \('\w+@@ .*codes are missing .*codes, code"
    ):
        prepare_all(text, tmp_path / "made")


def test_other_codes_are_refused(text: Path, tmp_path: Path) -> None:
    iwslt14.write(tmp_path / "other", 500, merges=30)
    shutil.copy(tmp_path / "other" / "code", text / "code")
    with pytest.raises(JobError, match=r"train\.de, line 1 \(.*\) is not what .*code makes of it"):
        prepare_all(text, tmp_path / "made")


@pytest.mark.parametrize("name", ["train.en", "valid.de"])
def test_one_unsegmented_file_is_refused(text: Path, tmp_path: Path, name: str) -> None:
    shutil.copy(text / "tmp" / name, text / name)
    with pytest.raises(JobError, match=rf"{name}, line \d+ \(.*\) is not what .*code makes of it"):
        prepare_all(text, tmp_path / "made")


def test_segmented_validation_text_beside_plain_text_is_refused(text: Path, tmp_path: Path) -> None:
    sample.write(text, 400, 0)
    with pytest.raises(
        JobError, match=r"valid\.de, line \d+, is cut into subword tokens .*, and the training text is not"
    ):
        prepare_all(text, tmp_path / "made")


def test_lowercase_is_refused_for_segmented_text(text: Path, tmp_path: Path) -> None:
    path = text / "train.de"
    path.write_text("\n".join(line.capitalize() for line in path.read_text().splitlines()) + "\n")
    with pytest.raises(JobError, match=r"lowercase is asked for, and .*train.de has capital letters and is cut"):
        prepare_all(text, tmp_path / "made", PrepareOptions(300, lowercase=True))


def test_sentencepiece_is_refused(text: Path, tmp_path: Path) -> None:
    path = text / "train.en"
    path.write_text("".join(f"\u2581{line}\n" for line in path.read_text().splitlines()))
    with pytest.raises(JobError, match=r"train\.en, line 1, is cut into subword tokens of SentencePiece"):
        prepare_all(text, tmp_path / "made")


def test_words_of_moses_stay_as_they_are(upload: Path, tmp_path: Path) -> None:
    """The text before it was cut: the same words, and their conventions."""
    for name in ("train", "valid"):
        for language in iwslt14.LANGUAGES:
            (tmp_path / f"{name}.{language}").write_bytes((upload / "tmp" / f"{name}.{language}").read_bytes())
    made = prepare_all(tmp_path, tmp_path / "made")
    cut = prepare_all(upload, tmp_path / "cut")
    assert made.conventions == cut.conventions
    for name in ("dict.de.txt", "train.de-en.en.bin", "valid.en"):
        assert (made.folder / name).read_bytes() == (cut.folder / name).read_bytes(), name


def test_plain_validation_text_beside_tokenised_training_text(upload: Path, tmp_path: Path) -> None:
    sample.write(tmp_path, 10, 20)
    for language in iwslt14.LANGUAGES:
        (tmp_path / f"train.{language}").write_bytes((upload / "tmp" / f"train.{language}").read_bytes())
    wanted = (tmp_path / "valid.en").read_text().lower()
    made = prepare_all(tmp_path, tmp_path / "made")
    assert (made.folder / "valid.en").read_text() == wanted, "what the model can produce"
    statistics = binary.statistics(made.folder / "valid.de-en.de", conventions.read_dictionary(made.dictionary("de")))
    assert statistics
    text = Text("de", made.conventions)
    words = [text.tokenize(line) for line in (tmp_path / "valid.de").read_text().splitlines()]
    assert statistics.size == sum(len(unescape(line).encode()) + 1 for line in words), "no token is unknown"


def test_format_of_older_fairseq_has_no_statistics(tmp_path: Path) -> None:
    (tmp_path / "train.de-en.de.idx").write_bytes(b"TNTIDX\x00\x00" + bytes(40))
    assert binary.statistics(tmp_path / "train.de-en.de", {}) is None


def test_split_hyphens_are_detected(tmp_path: Path) -> None:
    """As fairseq's scripts for WMT call the tokeniser."""
    iwslt14.write(tmp_path / "text", 500, tokenizer_words={"aggressive_dash_splits": True})
    for path in (tmp_path / "text").rglob("train.de"):
        path.write_text(path.read_text().replace("park .", "park , e @-@ mail ."))
    assert prepare_all(tmp_path / "text" / "tmp", tmp_path / "made").conventions.split_hyphens


def test_plain_text_in_lower_case(tmp_path: Path) -> None:
    sample.write(tmp_path / "text", 400, 30)
    for path in (tmp_path / "text").iterdir():
        path.write_text(path.read_text().lower())
    made = prepare_all(tmp_path / "text", tmp_path / "made")
    assert made.conventions.lowercase
    assert json.loads((made.folder / "prepared.json").read_text())["conventions"]["lowercase"]


def test_codes_that_came_with_plain_text_are_used(upload: Path, tmp_path: Path) -> None:
    """They know lower case only, so that the text is put in lower case."""
    sample.write(tmp_path / "text", 400, 30)
    shutil.copy(upload / "code", tmp_path / "text")
    made = prepare_all(tmp_path / "text", tmp_path / "made")
    assert (made.folder / "codes").read_bytes() == (upload / "code").read_bytes()
    assert made.lowercase
    assert made.conventions.lowercase
