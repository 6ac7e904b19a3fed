"""Hyperparameters on their way to fairseq."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from container.failure import JobError
from container.log import log
from handlers.translation.learning import settings
from handlers.translation.learning.settings import Settings

SAMPLE = {
    "lr": "0.25",
    "clip-norm": "0.1",
    "dropout": "0.2",
    "max-tokens": "4000",
    "criterion": "label_smoothed_cross_entropy",
    "label-smoothing": "0.1",
    "lr-scheduler": "fixed",
    "force-anneal": "200",
    "arch": "fconv_iwslt_de_en",
}


def read(has_gpu: bool = False, /, **texts: str) -> Settings:
    return settings.read({"arch": "transformer_iwslt_de_en", **texts}, "hyperparameters.json", has_gpu)


def parsed(found: Settings) -> Any:
    """What fairseq makes of it."""
    from fairseq import options

    parser = options.get_training_parser(default_task="translation")
    return options.parse_args_and_arch(parser, input_args=["data", *found.options])


def test_the_samples_own_set() -> None:
    given = parsed(settings.read(SAMPLE, "hyperparameters.json", False))
    assert (given.optimizer, given.lr, given.clip_norm, given.force_anneal) == ("nag", [0.25], 0.1, 200)
    assert (given.arch, given.dropout, given.max_tokens) == ("fconv_iwslt_de_en", 0.2, 4000)
    assert given.stop_min_lr == 1e-5, "or it would train for ever"
    assert given.no_epoch_checkpoints


def test_nothing_given_at_all() -> None:
    given = parsed(settings.read({}, "hyperparameters.json", False))
    assert (given.arch, given.optimizer, given.lr_scheduler, given.max_epoch) == (
        "fconv_iwslt_de_en",
        "nag",
        "fixed",
        50,
    )
    assert given.cpu


def test_a_transformer_has_defaults_of_its_own() -> None:
    given = parsed(read())
    assert (given.optimizer, given.lr_scheduler, given.adam_betas) == ("adam", "inverse_sqrt", "(0.9, 0.98)")
    assert given.ddp_backend == "legacy_ddp"
    given = parsed(read(optimizer="nag"))
    assert (given.lr, given.lr_scheduler) == ([0.25], "fixed")


@pytest.mark.parametrize(
    ("texts", "name", "value"),
    [
        ({"lr": "[0.5, 0.25]"}, "lr", [0.5, 0.25]),
        ({"lr": "0.5,0.25"}, "lr", [0.5, 0.25]),
        ({"lr": '"0.5"'}, "lr", [0.5]),
        ({"update-freq": "2"}, "update_freq", [2]),
        ({"adam-betas": "[0.9, 0.99]"}, "adam_betas", "(0.9, 0.99)"),
        ({"stop-min-lr": "-1e-9"}, "stop_min_lr", -1e-9),
        ({"weight-decay": "1e-4"}, "weight_decay", 1e-4),
        ({"max-sentences": "32"}, "batch_size", 32),
        ({"share-all-embeddings": ""}, "share_all_embeddings", True),
        ({"share_all_embeddings": "True"}, "share_all_embeddings", True),
        ({"share_all_embeddings": "1"}, "share_all_embeddings", True),
        ({"share_decoder_input_output_embed": "false"}, "share_decoder_input_output_embed", False),
        ({"arch": '"fconv_iwslt_de_en"', "encoder_layers": "[(64, 3)] * 2"}, "encoder_layers", "[(64, 3)] * 2"),
        ({"best_checkpoint_metric": "bleu"}, "maximize_best_checkpoint_metric", True),
        ({"save_interval_updates": "10"}, "keep_interval_updates", 1),
        ({"source_lang": "en"}, "source_lang", "en"),
    ],
)
def test_values_arrive_as_fairseq_needs_them(texts: dict[str, str], name: str, value: object) -> None:
    assert getattr(parsed(read(**texts)), name) == value


def test_batches_by_sentences_have_no_limit_of_tokens() -> None:
    assert parsed(read(batch_size="8")).max_tokens is None


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"max-tokns": "1"}, "unknown hyperparameter 'max_tokns'; did you mean 'max_tokens'"),
        ({"bpe_merge": "1"}, "unknown hyperparameter 'bpe_merge'"),
        ({"arch": "fconv_iwslt_de"}, "arch = 'fconv_iwslt_de' is not right: did you mean 'fconv_iwslt_de_en'"),
        ({"arch": "wav2vec_seq2seq"}, "arch = 'wav2vec_seq2seq' is not right"),
        ({"optimizer": "adm"}, "optimizer = 'adm' is not right: did you mean 'adam'"),
        ({"lr": "fast"}, "lr = 'fast' is not right: --lr: neither a number nor a list of them"),
        ({"clip_norm": "x"}, "clip_norm = 'x' is not right: --clip-norm: invalid float value: 'x'"),
        ({"max-tokens": "1", "max_tokens": "1"}, "'max_tokens' is given twice"),
        ({"max_sentences": "1", "batch_size": "1"}, "is another name of one that is given too, 'batch_size'"),
        ({"save_dir": "/x"}, "'save_dir' cannot be set: checkpoints go to /opt/ml/checkpoints"),
        ({"distributed-world-size": "2"}, "'distributed_world_size' cannot be set: how ranks are started"),
        ({"fp16_no_flatten_grads": "perhaps"}, "it is a flag, and must be true or false"),
        ({"beam": "wide"}, "beam = 'wide' is not right: --beam: invalid int value"),
        ({"eval_bleu_args": "5"}, "eval_bleu_args = '5' is not right: it must be a JSON object"),
        ({"eval_bleu_args": '{"bean": 1}'}, "eval_bleu_args has the unknown 'bean'; did you mean 'beam'"),
        ({"bpe_merges": "0"}, "bpe_merges = '0' is not right: it must be a whole number, at least 1"),
        ({"best_checkpoint_metric": "blue"}, "best_checkpoint_metric = 'blue' is not right: did you mean 'bleu'"),
        ({"best_checkpoint_metric": "bleu", "eval_bleu": "false"}, "needs eval_bleu"),
    ],
)
def test_what_is_refused(texts: dict[str, str], said: str) -> None:
    with pytest.raises(JobError, match=r"hyperparameters\.json: ") as error:
        read(**texts)
    assert said in str(error.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(JobError, match=r"unknown hyperparameter 'archh'.*lr = 'x'.*beam = 'y'"):
        read(archh="1", lr="x", beam="y")


def test_half_precision_only_where_there_is_a_gpu(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "propagate", True)
    with caplog.at_level(logging.WARNING):
        found = read(fp16="true")
    assert "fp16: this host has no GPU" in caplog.text
    assert not parsed(found).fp16
    on_gpu = read(True, fp16="true")
    assert parsed(on_gpu).fp16
    assert not parsed(on_gpu).cpu


def test_mixed_precision_on_a_cpu_is_ours() -> None:
    on_cpu, on_gpu = read(amp="true"), read(True, amp="true")
    assert (on_cpu.autocast, on_gpu.autocast, read(amp="false").autocast) == (True, False, False)
    assert not parsed(on_cpu).amp
    assert parsed(on_gpu).amp


def test_how_translations_are_measured() -> None:
    assert read().evaluation == {"beam": 5, "max_len_a": 1.2, "max_len_b": 10}
    assert read(beam="3", max_len_b="20", eval_bleu_args='{"beam": 1}').evaluation == {
        "beam": 1,
        "max_len_a": 1.2,
        "max_len_b": 20,
    }
    assert read(beam="3").generation == {"beam": 3}
    assert read(eval_bleu="false").evaluation is None
