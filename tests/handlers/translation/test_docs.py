"""docs/translation.md: the commands that make data ready. What those would fetch that need the network is made here."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import tarfile
from pathlib import Path

from byo_container.handlers.translation import hyperparameters, sample
from byo_container.handlers.translation import prepare as command
from byo_container.handlers.translation.prepare import PrepareOptions, prepare
from byo_container.handlers.translation.preprocessing import corpus, prepared
from byo_container.handlers.translation.preprocessing.prepared import PreparedText
from tests.handlers.translation import iwslt14

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "translation.md").read_text()
SECTION = PAGE.split("## Where the data of the examples come from")[1].split("\n## ")[0]
BLOCKS = [block.group(0) for block in re.finditer(r"(?:^    .+\n)+", SECTION, re.MULTILINE)]
NETWORK = "# network"
OURS = "python -m byo_container.handlers.translation.prepare"
PAIRS = 300
PLATFORMS = ("model_handler", "launcher", "processes_per_host")


def run(block: str, folder: Path) -> None:
    """The commands of a block that need no network; ours in this process, which has imported fairseq."""
    commands = [line.strip() for line in block.splitlines() if not line.endswith(NETWORK)]
    script = "\n".join(["set -e", *(line for line in commands if not line.startswith(OURS))])
    done = subprocess.run(["/bin/bash", "-c", script], cwd=folder, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    for line in commands:
        if line.startswith(OURS):
            with contextlib.chdir(folder):
                assert command.main(shlex.split(line.removeprefix(OURS))) == 0


def block(words: str) -> str:
    (found,) = (block for block in BLOCKS if words in block)
    return found


def prepared_by_train(folder: Path, destination: Path, source: str, target: str) -> PreparedText:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return prepare(corpus.find(files, source, target, where=str(folder)), destination, PrepareOptions(300))


def prepared_in(folder: Path) -> PreparedText:
    found = prepared.find(sorted(folder.iterdir()), None, None)
    assert found
    return found


def test_every_command_is_tried() -> None:
    assert len(BLOCKS) == 4
    assert all(NETWORK in line for line in SECTION.splitlines() if re.match(r"    .*(git clone|curl|\.sh)", line))


def test_iwslt_by_fairseqs_script(tmp_path: Path) -> None:
    iwslt14.write(tmp_path / "fairseq" / "examples" / "translation" / "iwslt14.tokenized.de-en", PAIRS)
    run(block("prepare-iwslt14.sh"), tmp_path)
    made = prepared_by_train(tmp_path / "iwslt14-cut", tmp_path / "made", "de", "en")
    assert made.conventions.lowercase
    assert made.facts["train_lines"] == PAIRS - PAIRS // 23


def test_iwslt_from_the_text(tmp_path: Path) -> None:
    sides = dict(zip(("de", "en"), zip(*sample.pairs(PAIRS), strict=True), strict=True))
    (tmp_path / "de-en").mkdir()
    for language, lines in sides.items():
        tagged = [
            "<url>http://x</url>",
            "<keywords>a, b</keywords>",
            "<talkid>1</talkid>",
            f"<title>{lines[0]}</title>",
        ]
        text = "\n".join([*tagged, f"<description>{lines[1]}</description>", *lines[2:]]) + "\n"
        (tmp_path / "de-en" / f"train.tags.de-en.{language}").write_text(text)
    with tarfile.open(tmp_path / "de-en.tgz", "w:gz") as archive:
        archive.add(tmp_path / "de-en", "de-en")
    shutil.rmtree(tmp_path / "de-en")
    run(block("de-en.tgz"), tmp_path)
    for language, lines in sides.items():
        assert (tmp_path / "iwslt14" / f"train.{language}").read_text().splitlines() == [*lines]
    assert prepared_in(tmp_path / "iwslt14-binary").conventions.lowercase


def test_the_homeworks_wmt(tmp_path: Path) -> None:
    sample.write(tmp_path / "wmt16_de_en", PAIRS, 20)
    for language, ending in (("en", "src"), ("de", "ref")):
        (tmp_path / "wmt16_de_en" / f"valid.{language}").rename(tmp_path / "wmt16_de_en" / f"wmt13-en-de.{ending}")
    run(block("get_en_de.sh"), tmp_path)
    made = prepared_in(tmp_path / "wmt16-binary")
    assert (str(made.direction), made.facts["valid_lines"]) == ("en-de", 20)
    assert made.dictionary("en").read_bytes() == made.dictionary("de").read_bytes()


def test_googles_wmt(tmp_path: Path) -> None:
    iwslt14.write(tmp_path / "text", PAIRS)
    with tarfile.open(tmp_path / "wmt16_en_de.tar.gz", "w:gz") as archive:
        for part, name in (("train", "train.tok.clean"), ("valid", "newstest2013.tok")):
            for language in ("en", "de"):
                archive.add(tmp_path / "text" / f"{part}.{language}", f"{name}.bpe.32000.{language}")
        archive.add(tmp_path / "text" / "code", "bpe.32000")
    run(block("wmt16_en_de.tar.gz"), tmp_path)
    assert prepared_by_train(tmp_path / "wmt16-cut", tmp_path / "made", "en", "de").facts["train_lines"] == 287


def test_the_hyperparameters_are_right() -> None:
    """Those for pasting, as training reads them."""
    found = re.findall(r"^    (\{\"model_handler\".*?\})$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(found) == 5
    for text in found:
        given = json.loads(text)
        own = {name: value for name, value in given.items() if name not in PLATFORMS}
        hyperparameters.read(own, "docs/translation.md", has_gpu=False)


def test_tables_have_one_head_each() -> None:
    lines = PAGE.splitlines()
    heads = [number for number, line in enumerate(lines) if re.fullmatch(r"\|(-+\|)+", line)]
    assert all(not lines[number - 2].startswith("|") for number in heads)
