"""Milliseconds a text, and accuracy, of ten ways to compute an encoder on a CPU.

    python -m benchmarks.text_classification_backends MODEL_DIR LINES [--only NAME,…] [--threads 1,2]

MODEL_DIR is a fine-tuned classifier as `train` leaves it; LINES has a `text;label` a line. Every way runs in a process
of its own, with texts alone and in batches of 8 and 32 in the order of the lines, as requests come. Those whose
packages are missing are left out: onnx, onnxruntime and onnxscript, openvino and nncf.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import table
from byo_container.handlers.text_classification import quantization

BATCHES = (1, 8, 32)
ROWS = {1: 50, 8: 160, 32: 320}
ROUNDS = 2
LONGEST = 512

Network = Callable[..., Any]
"""input_ids and attention_mask, both (rows, tokens) → logits (rows, labels), as tensors or arrays."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir", type=Path, metavar="MODEL_DIR")
    parser.add_argument("lines", type=Path, metavar="LINES")
    parser.add_argument("--only", default=",".join(WAYS), help="names, with commas between them")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    names, threads = options.only.split(","), list(map(int, options.threads.split(",")))
    if options.child:
        print(json.dumps(measure(options.model_dir, options.lines, names[0], threads[0])))
        return
    rows = []
    for name in names:
        for count in threads:
            found = in_process(options, name, count)
            figures = [found[key] for key in (*map(str, BATCHES), "accuracy", "load_s", "memory_mb")] if found else []
            rows.append((name, count, *(figures or ["-"] * 6)))
            print(name, count, found, file=sys.stderr, flush=True)
    head = ("", "threads", *(f"ms a text, {size} at once" for size in BATCHES), "accuracy", "load s", "MB")
    print(table(head, rows))


def in_process(options: argparse.Namespace, name: str, threads: int) -> dict[str, Any] | None:
    """What `measure` finds; None where it fails, with the reason on standard error."""
    command = [sys.executable, "-m", "benchmarks.text_classification_backends", str(options.model_dir)]
    command += [str(options.lines), "--only", name, "--threads", str(threads), "--child"]
    environ = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    if done.returncode:
        print(f"{name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(model_dir: Path, path: Path, name: str, threads: int) -> dict[str, Any]:
    import resource

    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.set_num_threads(threads)
    tokenizer: Any = AutoTokenizer.from_pretrained(model_dir)
    began = time.perf_counter()
    model = AutoModelForSequenceClassification.from_pretrained(model_dir).eval()
    lines = [line.rsplit(";", 1) for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [text for text, _ in lines]
    with torch.inference_mode(name not in TRACED):
        network = WAYS[name](
            model, threads, [tensors(tokenizer, texts[first : first + 8]) for first in range(0, 320, 8)]
        )
        network(*tensors(tokenizer, texts[:2]))
    found: dict[str, Any] = {"load_s": round(time.perf_counter() - began, 1)}
    with torch.inference_mode():
        for size in BATCHES:
            batches = [tensors(tokenizer, part) for part in parts(texts[: ROWS[size]], size)]
            for batch in batches[:20]:
                network(*batch)
            found[str(size)] = round(min(seconds(network, batches) for _ in range(ROUNDS)) / ROWS[size] * 1000, 2)
        predicted = [
            int(row) for part in parts(texts, 32) for row in as_tensor(network(*tensors(tokenizer, part))).argmax(-1)
        ]
    right = [model.config.id2label[row] == label for row, (_, label) in zip(predicted, lines, strict=True)]
    found["accuracy"] = round(statistics.mean(right), 4)
    found["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return found


def tensors(tokenizer: Any, texts: Sequence[str]) -> tuple[Any, Any]:
    encoded = tokenizer(list(texts), truncation=True, max_length=LONGEST, padding=True, return_tensors="pt")
    return encoded["input_ids"], encoded["attention_mask"]


def parts(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (texts[first : first + size] for first in range(0, len(texts), size))


def seconds(network: Network, batches: Sequence[tuple[Any, Any]]) -> float:
    """Of the process' own time where it has one thread: other processes of the machine disturb it less."""
    clock = time.process_time if os.environ.get("OMP_NUM_THREADS") == "1" else time.perf_counter
    began = clock()
    for batch in batches:
        network(*batch)
    return clock() - began


def as_tensor(value: Any) -> Any:
    import torch

    return torch.as_tensor(value)


# The ways: a model of Transformers, the threads, and examples of inputs → a Network.


def wrapped(model: Any) -> Network:
    """A module of two inputs and one output, which the exporters want."""
    import torch

    class Logits(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Any, mask: Any) -> Any:
            return self.model(input_ids=ids, attention_mask=mask).logits

    network: Network = Logits().eval()
    return network


def eager(model: Any, threads: int, examples: Any) -> Network:
    return wrapped(model)


def eager_bf16(model: Any, threads: int, examples: Any) -> Network:
    import torch

    network = wrapped(model.to(torch.bfloat16))
    return lambda ids, mask: network(ids, mask).float()


def eager_int8(model: Any, threads: int, examples: Any) -> Network:
    import torch
    from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

    torch.backends.quantized.engine = "x86"
    return wrapped(quantize_dynamic(model, {torch.nn.Linear: per_channel_dynamic_qconfig}))


def eager_onednn_int8(model: Any, threads: int, examples: Any) -> Network:
    import torch
    from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

    torch.backends.quantized.engine = "onednn"
    return wrapped(quantize_dynamic(model, {torch.nn.Linear: per_channel_dynamic_qconfig}))


def compiled(model: Any, threads: int, examples: Any) -> Network:
    import torch
    import torch._inductor.config as inductor

    inductor.freezing = True
    network = torch.compile(wrapped(model), dynamic=True)

    def run(ids: Any, mask: Any) -> Any:
        with torch.no_grad():
            return network(ids.clone(), mask.clone())

    return run


def compiled_bf16(model: Any, threads: int, examples: Any) -> Network:
    import torch

    network = compiled(model.to(torch.bfloat16), threads, examples)
    return lambda ids, mask: network(ids, mask).float()


def exported(model: Any, threads: int, examples: Any) -> Network:
    import torch
    from torch.export import Dim

    shape = {0: Dim("rows", min=1, max=4096), 1: Dim("tokens", min=2, max=LONGEST)}
    folder = tempfile.mkdtemp()
    with torch.no_grad():
        program = torch.export.export(wrapped(model), tuple(examples[0]), dynamic_shapes=(shape, shape))
        package = torch._inductor.aoti_compile_and_package(
            program, package_path=f"{folder}/model.pt2", inductor_configs={"freezing": True}
        )
    run: Network = torch._inductor.aoti_load_package(package)
    return run


def exported_bf16(model: Any, threads: int, examples: Any) -> Network:
    import torch

    network = exported(model.to(torch.bfloat16), threads, examples)
    return lambda ids, mask: network(ids, mask).float()


def onnx_file(model: Any, examples: Any, folder: str) -> str:
    import torch
    from torch.export import Dim

    shape = {0: Dim("rows", min=1, max=4096), 1: Dim("tokens", min=2, max=LONGEST)}
    path = f"{folder}/model.onnx"
    torch.onnx.export(
        wrapped(model),
        tuple(examples[0]),
        path,
        input_names=["ids", "mask"],
        output_names=["logits"],
        dynamic_shapes=(shape, shape),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    return path


def onnx_session(path: str, threads: int) -> Network:
    session = quantization.load_session(Path(path), threads)
    return lambda ids, mask: session.run(None, {"ids": ids.numpy(), "mask": mask.numpy()})[0]


def onnx(model: Any, threads: int, examples: Any) -> Network:
    with tempfile.TemporaryDirectory() as folder:
        return onnx_session(onnx_file(model, examples, folder), threads)


def onnx_int8(model: Any, threads: int, examples: Any) -> Network:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        path = onnx_file(model, examples, folder)
        quantize_dynamic(path, path + ".int8", per_channel=True, weight_type=QuantType.QInt8)
        return onnx_session(path + ".int8", threads)


def openvino_network(model: Any, threads: int, precision: str) -> Network:
    import openvino

    compiled = openvino.Core().compile_model(
        model,
        "CPU",
        {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"},
    )
    request = compiled.create_infer_request()
    return lambda ids, mask: request.infer({"ids": ids.numpy(), "mask": mask.numpy()})[0]


def openvino_model(model: Any, examples: Any) -> Any:
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        return openvino.Core().read_model(onnx_file(model, examples, folder))


def openvino_fp32(model: Any, threads: int, examples: Any) -> Network:
    return openvino_network(openvino_model(model, examples), threads, "f32")


def openvino_bf16(model: Any, threads: int, examples: Any) -> Network:
    return openvino_network(openvino_model(model, examples), threads, "bf16")


def openvino_int8(model: Any, threads: int, examples: Any) -> Network:
    """Weights and activations, calibrated with 320 of the texts."""
    import nncf  # type: ignore[import-not-found, unused-ignore]

    feeds = [{"ids": ids.numpy(), "mask": mask.numpy()} for ids, mask in examples]
    quantized = nncf.quantize(
        openvino_model(model, examples), nncf.Dataset(feeds), model_type=nncf.ModelType.TRANSFORMER, subset_size=40
    )
    return openvino_network(quantized, threads, "f32")


WAYS: dict[str, Callable[[Any, int, Any], Network]] = {
    "PyTorch": eager,
    "PyTorch bfloat16": eager_bf16,
    "PyTorch int8": eager_int8,
    "PyTorch int8 by oneDNN": eager_onednn_int8,
    "torch.compile": compiled,
    "torch.compile bfloat16": compiled_bf16,
    "AOTInductor": exported,
    "AOTInductor bfloat16": exported_bf16,
    "ONNX Runtime": onnx,
    "ONNX Runtime int8": onnx_int8,
    "OpenVINO": openvino_fp32,
    "OpenVINO bfloat16": openvino_bf16,
    "OpenVINO int8": openvino_int8,
}
TRACED = {name for name in WAYS if not name.startswith("PyTorch")}
"""These are not built under torch.inference_mode, whose tensors cannot be traced."""

if __name__ == "__main__":
    main()
