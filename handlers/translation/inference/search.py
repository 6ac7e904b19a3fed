"""Beam search by fairseq's own generator: pieces of sentences → pieces of their translations."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from typing import Any

import torch

from byo_container.handlers.translation.inference.model import Network
from byo_container.handlers.translation.inference.speed import Ensemble, prepare
from byo_container.handlers.translation.requests import Parameters

Found = list[tuple[list[str], float]]  # the pieces of a translation and its score, best first


def fit(generator: Any, width: int, min_len: int) -> None:
    """Limits what was asked of fairseq's generator to what there can be, where it would fail: the least length, for
    sources of which the longest has `width` pieces, and the number of pieces to draw from."""
    longest = int(generator.max_len_a * width + generator.max_len_b)
    generator.min_len = min(min_len, longest, generator.max_len - 1)
    if hasattr(generator.search, "sampling_topk"):
        generator.search.sampling_topk = min(generator.search.sampling_topk, generator.vocab_size)


class Search:
    """Searches with one network. Not to be called from two threads at once: the beam's width is set in the network."""

    def __init__(self, network: Network) -> None:
        self._network = network
        prepare(network.model)

    def find(self, batch: list[list[str]], parameters: Parameters) -> list[Found]:
        """For each sentence its `nbest` translations; fewer where the search ended with fewer."""
        network = self._network
        rows = [[network.source.index(piece) for piece in pieces] + [network.source.eos()] for pieces in batch]
        width = max(map(len, rows))
        with torch.inference_mode():
            sample = {"net_input": self._filled(rows)}
            results = self._generator(parameters, width).generate([network.model], sample)
        return [
            [
                (self._symbols(hypothesis, pieces, width), float(hypothesis["score"]) / math.log(2))
                for hypothesis in hypotheses[: parameters.nbest]
            ]
            for pieces, hypotheses in zip(batch, results, strict=True)
        ]

    def _filled(self, rows: list[list[int]]) -> dict[str, torch.Tensor]:
        """One table for all sentences, the shorter ones filled up on the side where they were in training."""
        width = max(map(len, rows))
        table = torch.full((len(rows), width), self._network.source.pad())
        for line, row in zip(table, rows, strict=True):
            place = slice(width - len(row), width) if self._network.left_pad else slice(0, len(row))
            line[place] = torch.tensor(row)
        lengths = torch.tensor([len(row) for row in rows])
        return {"src_tokens": table.to(self._network.device), "src_lengths": lengths.to(self._network.device)}

    def _generator(self, parameters: Parameters, width: int) -> Any:
        """For sentences of which the longest has `width` pieces."""
        from fairseq.tasks import FairseqTask

        network, model = self._network, self._network.model
        for module in model.modules():  # the weights of the attention are only needed to copy by them
            if hasattr(module, "need_attn"):
                module.need_attn = parameters.replace_unk
        asked = asdict(parameters)
        if parameters.sampling:
            torch.seed()  # workers are forks of one process, and would all draw the same
        else:
            asked |= {"sampling_topk": -1, "sampling_topp": -1.0}
        # fairseq chooses the kind of search by its own names, which are ours; all it asks of the task is a dictionary.
        task = argparse.Namespace(target_dictionary=network.target)
        ensemble = Ensemble(model, parameters.beam)
        generator = FairseqTask.build_generator(task, ensemble, argparse.Namespace(**asked))
        model.decoder.set_beam_size(generator.beam_size)
        fit(generator, width, parameters.min_len)
        return generator

    def _symbols(self, hypothesis: dict[str, Any], source: list[str], width: int) -> list[str]:
        """The pieces, without the end of the sentence; unknown ones as `<unk>`, or copied from the source where
        the attention was asked for."""
        target = self._network.target
        ids = hypothesis["tokens"].tolist()
        symbols = [target[one] for one in ids]
        if hypothesis["attention"].numel() and target.unk() in ids:
            before = width - len(source) - 1 if self._network.left_pad else 0
            looked_at = hypothesis["attention"][before : before + len(source)].argmax(0).tolist()
            symbols = [
                source[looked_at[place]] if one == target.unk() else symbol
                for place, (one, symbol) in enumerate(zip(ids, symbols, strict=True))
            ]
        special = {target.pad(), target.eos(), target.bos()}
        return [symbol for one, symbol in zip(ids, symbols, strict=True) if one not in special]
