"""Beam search with fairseq's own generator: subword tokens of sentences → subword tokens of their translations."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from typing import Any

import torch

from byo_container.handlers.translation.inference.model import TranslationModel
from byo_container.handlers.translation.inference.speed import SingleModelEnsemble, optimise_for_inference
from byo_container.handlers.translation.requests import Parameters

Candidates = list[tuple[list[str], float]]  # the subword tokens of a translation and its score, best first


def fit_limits(generator: Any, width: int, min_len: int) -> None:
    """Caps the limits of fairseq's generator at what is possible, where it would fail otherwise: the minimum length,
    for sources of which the longest has `width` tokens, and the number of tokens to sample from."""
    longest = int(generator.max_len_a * width + generator.max_len_b)
    generator.min_len = min(min_len, longest, generator.max_len - 1)
    if hasattr(generator.search, "sampling_topk"):
        generator.search.sampling_topk = min(generator.search.sampling_topk, generator.vocab_size)


class BeamSearch:
    """Searches with one model. Not thread-safe: the beam width is set in the model."""

    def __init__(self, loaded: TranslationModel) -> None:
        self._loaded = loaded
        optimise_for_inference(loaded.model)

    def search(self, batch: list[list[str]], parameters: Parameters) -> list[Candidates]:
        """The `nbest` translations of each sentence; fewer where the search ended with fewer."""
        loaded = self._loaded
        rows = [[loaded.source.index(token) for token in tokens] + [loaded.source.eos()] for tokens in batch]
        width = max(map(len, rows))
        with torch.inference_mode():
            sample = {"net_input": self._padded(rows)}
            results = self._generator(parameters, width).generate([loaded.model], sample)
        return [
            [
                (self._symbols(hypothesis, tokens, width), float(hypothesis["score"]) / math.log(2))
                for hypothesis in hypotheses[: parameters.nbest]
            ]
            for tokens, hypotheses in zip(batch, results, strict=True)
        ]

    def _padded(self, rows: list[list[int]]) -> dict[str, torch.Tensor]:
        """One tensor (sentences, width) for the batch, padded on the side where training padded."""
        width = max(map(len, rows))
        table = torch.full((len(rows), width), self._loaded.source.pad())
        for line, row in zip(table, rows, strict=True):
            columns = slice(width - len(row), width) if self._loaded.left_pad else slice(0, len(row))
            line[columns] = torch.tensor(row)
        lengths = torch.tensor([len(row) for row in rows])
        return {"src_tokens": table.to(self._loaded.device), "src_lengths": lengths.to(self._loaded.device)}

    def _generator(self, parameters: Parameters, width: int) -> Any:
        """fairseq's generator, for sentences of which the longest has `width` tokens."""
        from fairseq.tasks import FairseqTask

        model = self._loaded.model
        for module in model.modules():  # attention weights are only needed to copy words by them
            if hasattr(module, "need_attn"):
                module.need_attn = parameters.replace_unk
        options = asdict(parameters)
        if parameters.sampling:
            torch.seed()  # workers are forks of one process, and would all draw the same
        else:
            options |= {"sampling_topk": -1, "sampling_topp": -1.0}
        # fairseq chooses the kind of search by its own option names, which are ours. It needs only a dictionary of the
        # task.
        task = argparse.Namespace(target_dictionary=self._loaded.target)
        ensemble = SingleModelEnsemble(model, parameters.beam)
        generator = FairseqTask.build_generator(task, ensemble, argparse.Namespace(**options))
        model.decoder.set_beam_size(generator.beam_size)
        fit_limits(generator, width, parameters.min_len)
        return generator

    def _symbols(self, hypothesis: dict[str, Any], source: list[str], width: int) -> list[str]:
        """The subword tokens without the end of the sentence. Unknown ones are `<unk>`, or copied from the source
        token with the most attention where the request asked for that."""
        target = self._loaded.target
        ids = hypothesis["tokens"].tolist()
        symbols = [target[one] for one in ids]
        if hypothesis["attention"].numel() and target.unk() in ids:
            padding = width - len(source) - 1 if self._loaded.left_pad else 0
            aligned = hypothesis["attention"][padding : padding + len(source)].argmax(0).tolist()
            symbols = [
                source[aligned[position]] if one == target.unk() else symbol
                for position, (one, symbol) in enumerate(zip(ids, symbols, strict=True))
            ]
        special = {target.pad(), target.eos(), target.bos()}
        return [symbol for one, symbol in zip(ids, symbols, strict=True) if one not in special]
