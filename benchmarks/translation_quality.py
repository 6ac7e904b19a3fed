"""How good translations are: raw sentences through the real `serve`, scored as plain text by sacreBLEU.

    python -m benchmarks.translation_quality MODEL_DIR SOURCE REFERENCE [--output FILE]

SOURCE and REFERENCE hold a sentence a line, plain or .gz; for Multi30k test_2016_flickr.de.gz and .en.gz.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.processes import BenchmarkError
from benchmarks.servers import Launch, Place, Server, ask, ours, serving

AT_ONCE = 25  # sentences in a request
CLIENTS = 4
TARGET = 41.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir", type=Path, metavar="MODEL_DIR", help="what `train` left, or fairseq itself")
    parser.add_argument("source", type=Path, metavar="SOURCE")
    parser.add_argument("reference", type=Path, metavar="REFERENCE")
    parser.add_argument("--output", type=Path, help="where to write the translations")
    options = parser.parse_args()
    source, reference = read_lines(options.source), read_lines(options.reference)
    if len(source) != len(reference):
        raise BenchmarkError(f"{options.source} has {len(source)} lines and {options.reference} {len(reference)}")
    began = time.perf_counter()
    translations = translate(options.model_dir, source)
    took = time.perf_counter() - began
    if options.output:
        options.output.write_text("\n".join(translations) + "\n", encoding="utf-8")
    print(report(translations, reference))
    print(f"{len(source)} sentences in {took:.0f} s, the start of the server included.")


def read_lines(path: Path) -> list[str]:
    """The lines of a text file in UTF-8, unpacked where it is packed."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def translate(model_dir: Path, lines: list[str]) -> list[str]:
    """Each line's translation, from a server of its own."""
    parts = [lines[first : first + AT_ONCE] for first in range(0, len(lines), AT_ONCE)]

    def launch(place: Place) -> Launch:
        (command,) = ours(place, {"MODEL_HANDLER": "translation"}, model_dir).commands
        return Launch((command,), body=b'"a"', answer=str, expected=None)

    with serving(Server("serve", launch)) as served:

        def send(part: list[str]) -> list[str]:
            status, body = ask(served.port, served.launch.path, json.dumps(part).encode(), timeout=600)
            if status != 200:
                raise BenchmarkError(f"answered {status}: {body[:300]!r}")
            found: list[str] = json.loads(body)
            return found

        with ThreadPoolExecutor(CLIENTS) as pool:
            return [text for part in pool.map(send, parts) for text in part]


def report(translations: list[str], reference: list[str]) -> str:
    """BLEU and chrF as sacreBLEU computes them, with its signature."""
    from sacrebleu.metrics import BLEU, CHRF

    bleu, chrf = BLEU(), CHRF()
    scores = bleu.corpus_score(translations, [reference]), chrf.corpus_score(translations, [reference])
    return (
        f"sacreBLEU {scores[0].score:.1f} (target ≥ {TARGET:.0f}; {scores[0]}; {bleu.get_signature()})\n"
        f"chrF {scores[1].score:.1f} ({chrf.get_signature()})"
    )


if __name__ == "__main__":
    main()
