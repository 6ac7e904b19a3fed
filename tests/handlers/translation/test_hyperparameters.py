"""Hyperparameters → arguments of fairseq."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.container.log import log
from byo_container.handlers.translation import hyperparameters
from byo_container.handlers.translation.hyperparameters import TrainingSettings
from byo_container.handlers.translation.training import option_names

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


def read(has_gpu: bool = False, /, **texts: str) -> TrainingSettings:
    return hyperparameters.read({"arch": "transformer_iwslt_de_en", **texts}, "hyperparameters.json", has_gpu)


def parsed(settings: TrainingSettings) -> Any:
    """The result of fairseq's own parser."""
    from fairseq import options

    parser = options.get_training_parser(default_task="translation")
    return options.parse_args_and_arch(parser, input_args=["data", *settings.arguments])


def test_hyperparameters_of_the_aws_sample() -> None:
    given = parsed(hyperparameters.read(SAMPLE, "hyperparameters.json", False))
    assert (given.optimizer, given.lr, given.clip_norm, given.force_anneal) == ("nag", [0.25], 0.1, 200)
    assert (given.arch, given.dropout, given.max_tokens) == ("fconv_iwslt_de_en", 0.2, 4000)
    assert given.stop_min_lr == 1e-5, "or it would train for ever"
    assert given.no_epoch_checkpoints


def test_defaults_without_any_hyperparameter() -> None:
    given = parsed(hyperparameters.read({}, "hyperparameters.json", False))
    assert (given.arch, given.optimizer, given.lr_scheduler, given.max_epoch) == (
        "fconv_iwslt_de_en",
        "nag",
        "fixed",
        50,
    )
    assert given.cpu


def test_defaults_of_transformers() -> None:
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
def test_values_are_converted_for_fairseq(texts: dict[str, str], name: str, value: object) -> None:
    assert getattr(parsed(read(**texts)), name) == value


def flags() -> dict[str, Any]:
    """Every option of fairseq's, for either family of networks, that takes no value."""
    from byo_container.handlers.translation.training import presets
    from byo_container.handlers.translation.training.fairseq_parser import FairseqParser

    found: dict[str, Any] = {}
    for arch in ("fconv_iwslt_de_en", "transformer_iwslt_de_en"):
        parser = FairseqParser({"arch": arch, **presets.complete({"arch": arch})})
        for options in (parser.actions, parser.generation):
            found |= {name: arch for name, action in options.items() if action.nargs == 0 and action.dest == name}
    return found


def test_every_flag_takes_true_false_1_0_or_nothing_under_either_name() -> None:
    """Together in as few readings as there are forms, for each of them builds fairseq's parser."""
    every = flags()
    assert len(every) > 60
    for arch in set(every.values()):
        here = [
            name for name, owner in every.items() if owner == arch and option_names.fixed_option(name, False) is None
        ]
        alone = {"sampling", "eval_bleu", "fp16", "memory_efficient_fp16", "amp", "cpu"}
        for word in ("true", "1", "", "True", "false", "0", "False"):
            is_on = word.lower() not in ("false", "0")
            for hyphen in (False, True):
                texts = {name.replace("_", "-") if hyphen else name: word for name in here if name not in alone}
                found = hyperparameters.read({"arch": arch, **texts}, "hyperparameters.json", False)
                given = vars(parsed(found)) | found.generation
                wrong = [name for name in here if name not in alone and bool(given.get(name)) is not is_on]
                assert not wrong, f"{word!r} for {wrong}"


@pytest.mark.parametrize("word", ["true", "1", "", "True", "false", "0"])
def test_own_flags_take_the_same_values(word: str) -> None:
    is_on = word not in ("false", "0")
    found = read(lowercase=word, amp=word, fp16=word, eval_bleu=word, sampling=word)
    assert (found.own.lowercase, found.autocast, found.evaluation is not None) == (is_on, is_on, is_on)
    assert found.generation == {"sampling": is_on}


def test_every_fixed_flag_takes_one_of_the_two() -> None:
    for name, fixed in option_names.FIXED.items():
        if name in flags():
            accepted = [word for word in ("true", "false") if fixed.accepts(word)]
            assert accepted, name
            assert all(
                fixed.accepts(alias) for word in accepted for alias in {"true": ("1", ""), "false": ("0",)}[word]
            )


ERA = {  # the examples of fairseq 0.6 to 0.9, and the AWS sample's document
    "task": "translation",
    "raw-text": "",
    "lazy-load": "false",
    "source-lang": "de",
    "target-lang": "en",
    "share-decoder-input-output-embed": "",
    "optimizer": "adam",
    "adam-betas": "(0.9, 0.98)",
    "lr-scheduler": "inverse_sqrt",
    "warmup-init-lr": "1e-07",
    "warmup-updates": "4000",
    "min-lr": "1e-09",
    "relu-dropout": "0.1",
    "max-sentences": "32",
    "update-freq": "4",
    "ddp-backend": "no_c10d",
    "distributed-backend": "gloo",
    "distributed-no-spawn": "",
    "distributed-init-method": "env://",
    "no-progress-bar": "",
    "log-format": "simple",
    "left-pad-source": "False",
    "max-source-positions": "210",
    "sentence-avg": "",
    "fp16": "",
    "memory-efficient-fp16": "true",
    "save-interval-updates": "1000",
    "keep-interval-updates": "3",
    "num-workers": "2",
    "required-batch-size-multiple": "1",
    "save-dir": "checkpoints",
    "restore-file": "checkpoint_last.pt",
    "tensorboard-logdir": "",
    "no-save": "false",
    "remove-bpe": "",
    "quiet": "",
    "sampling-temperature": "0.7",
    "no-early-stop": "",
}


def test_options_of_fairseq_0_6_to_0_9() -> None:
    found = read(**ERA)
    given = parsed(found)
    assert (given.stop_min_lr, given.relu_dropout, given.batch_size) == (1e-9, 0.1, 32)
    assert (given.ddp_backend, given.update_freq, given.left_pad_source) == ("no_c10d", [4], False)
    assert found.generation == {"temperature": 0.7}
    assert given.max_epoch == 50, "an inverse square root never comes to 1e-9, and training would never end"
    said = "\n".join(found.remarks)
    assert "raw_text = '' changes nothing: the files in the channel tell" in said
    assert "distributed_backend = 'gloo' changes nothing" in said


@pytest.mark.parametrize(
    ("texts", "name", "value"),
    [
        ({"force-anneal": "10", "optimizer": "adam"}, "lr_scheduler", "fixed"),
        ({"min-lr": "1e-9"}, "warmup_init_lr", 2e-9),
        ({"min-lr": "1e-9", "warmup-init-lr": "1e-7"}, "warmup_init_lr", 1e-7),
        ({"ddp-backend": "c10d"}, "find_unused_parameters", True),
        ({"lr-scheduler": "cosine", "min-lr": "1e-5"}, "min_lr", 1e-5),
        ({"lr-scheduler": "cosine", "lr-period-updates": "100"}, "lr_period_updates", 100.0),
        ({"min-lr": "1e-6", "lr-scheduler": "fixed", "force-anneal": "3"}, "max_epoch", 0),
        ({"skip-invalid-size-inputs-valid-test": ""}, "skip_invalid_size_inputs_valid_test", True),
    ],
)
def test_defaults_that_follow_from_other_options(texts: dict[str, str], name: str, value: object) -> None:
    assert getattr(parsed(read(**texts)), name) == value


def test_distributed_backend() -> None:
    assert read(True).backend == ""
    assert read(True, **{"distributed-backend": "gloo"}).backend == "gloo"
    with pytest.raises(JobError, match="distributed_backend = 'mpi' is not right"):
        read(True, **{"distributed-backend": "mpi"})


@pytest.mark.parametrize(
    "name",
    [
        "raw_texts",
        "force_aneal",
        "mx_len",
        "train_text",
        "batch",
        "min_learning_rate",
        "gpu",
    ],
)
def test_dissimilar_names_are_not_suggested(name: str) -> None:
    with pytest.raises(JobError) as error:
        read(**{name: "1"})
    assert "did you mean" not in str(error.value)
    with pytest.raises(JobError, match=r"criterion = 'mse' is not right: known are: ") as error:
        read(criterion="mse")


@pytest.mark.parametrize(
    ("texts", "name", "value"),
    [
        ({"learning_rate": "0.1"}, "lr", [0.1]),
        ({"learning-rate": "0.1", "lr": "0.1"}, "lr", [0.1]),
        ({"lr": "0.1", "learning_rate": "0.1"}, "lr", [0.1]),
        ({"epochs": "7"}, "max_epoch", 7),
        ({"num_train_epochs": "7", "epochs": "7"}, "max_epoch", 7),
        ({"batch_size": "8"}, "batch_size", 8),
        ({"max_steps": "100"}, "max_update", 100),
        ({"max_steps": "100"}, "max_epoch", 0),
        ({"warmup_steps": "50"}, "warmup_updates", 50),
        ({"gradient_accumulation_steps": "4"}, "update_freq", [4]),
        ({"max_grad_norm": "0.5"}, "clip_norm", 0.5),
        ({"early_stopping_patience": "3"}, "patience", 3),
        ({"warmup_steps": "50", "lr_scheduler": "tri_stage"}, "warmup_steps", 50),
    ],
)
def test_aliases_of_other_frameworks(texts: dict[str, str], name: str, value: object) -> None:
    assert getattr(parsed(read(**texts)), name) == value


def test_alias_of_a_generation_option() -> None:
    assert read(num_beams="3").generation == {"beam": 3}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"learning_rate": "0.1", "lr": "0.2"}, "learning_rate = '0.1' and lr = '0.2' set the same option; leave one"),
        ({"lr": "0.2", "learning-rate": "0.1"}, "lr = '0.2' and learning_rate = '0.1' set the same option; leave one"),
        ({"epochs": "1", "num_train_epochs": "2"}, "epochs = '1' and num_train_epochs = '2' set the same option"),
        ({"learning_rate": "fast"}, "learning_rate = 'fast' is not right: --lr: neither a number nor a list"),
        ({"num_beams": "wide"}, "num_beams = 'wide' is not right: --beam: invalid int value"),
        ({"learning_rte": "1"}, "unknown hyperparameter 'learning_rte'; did you mean 'learning_rate'"),
        ({"epoch": "1"}, "unknown hyperparameter 'epoch'; did you mean 'epochs'"),
        (
            {"warmup_steps": "9", "lr_scheduler": "triangular"},
            "'warmup_steps' is fairseq's 'warmup_updates', which does",
        ),
    ],
)
def test_invalid_aliases_are_refused(texts: dict[str, str], said: str) -> None:
    with pytest.raises(JobError, match=r"hyperparameters\.json: ") as error:
        read(**texts)
    assert said in str(error.value)


def test_batch_size_in_sentences_replaces_max_tokens() -> None:
    assert parsed(read(batch_size="8")).max_tokens is None


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"max-tokns": "1"}, "unknown hyperparameter 'max_tokns'; did you mean 'max_tokens'"),
        ({"bpe_merge": "1"}, "unknown hyperparameter 'bpe_merge'; did you mean 'bpe_merges'"),
        ({"arch": "fconv_iwslt_de"}, "arch = 'fconv_iwslt_de' is not right: did you mean 'fconv_iwslt_de_en'"),
        ({"arch": "wav2vec_seq2seq"}, "arch = 'wav2vec_seq2seq' is not right"),
        ({"optimizer": "adm"}, "optimizer = 'adm' is not right: did you mean 'adam'"),
        ({"lr": "fast"}, "lr = 'fast' is not right: --lr: neither a number nor a list of them"),
        ({"clip_norm": "x"}, "clip_norm = 'x' is not right: --clip-norm: invalid float value: 'x'"),
        ({"max-tokens": "1", "max_tokens": "1"}, "'max_tokens' is given twice"),
        ({"max_sentences": "1", "batch_size": "1"}, "is another name of one that is given too, 'batch_size'"),
        ({"save_dir": "/x"}, "'save_dir' cannot be '/x': checkpoints go to /opt/ml/checkpoints"),
        ({"distributed-world-size": "2"}, "'distributed_world_size' cannot be set: how ranks are started"),
        ({"distributed-backend": "nccl"}, "'distributed_backend' cannot be 'nccl': ranks without a GPU exchange"),
        ({"task": "language_modeling"}, "'task' cannot be 'language_modeling': it is translation"),
        ({"no-save": ""}, "'no_save' cannot be '': a job that saves nothing leaves no model"),
        ({"path": "model.pt"}, "'path' cannot be set: the endpoint serves the model that the job leaves"),
        ({"gen-subset": "test"}, "'gen_subset' cannot be 'test': the validation sentences are translated"),
        ({"print-alignment": ""}, "'print_alignment' cannot be '': the endpoint answers with texts and scores only"),
        ({"iter-decode-max-iter": "3"}, "it is for models that are not trained here"),
        ({"eval-bleu": "perhaps"}, "eval_bleu = 'perhaps' is not right: it is a flag"),
        ({"eval_bleu_args": '{"path": "x"}'}, "eval_bleu_args has the unknown 'path'"),
        ({"beam": "60"}, "'beam' is 60; it must be a whole number, at least 1 and at most 50"),
        ({"sampling-topk": "10"}, "'sampling_topk' is for sampling; set 'sampling' to true"),
        ({"sampling": "", "diverse-beam-groups": "5"}, "'sampling' and 'diverse_beam_groups' exclude each other"),
        ({"diverse-beam-groups": "3"}, "'beam' is 5; it must be a multiple of 'diverse_beam_groups', 3"),
        (
            {"force-anneal": "5", "lr-scheduler": "inverse_sqrt"},
            "'force_anneal': it belongs to lr_scheduler = 'fixed', 'polynomial_decay'",
        ),
        ({"momentum": "0.9"}, "'momentum': it belongs to optimizer = 'nag', 'sgd'"),
        ({"decoder_attention": "True"}, "'decoder_attention': it belongs to arch = "),
        ({"replace-unk": "words.txt"}, "replace_unk = 'words.txt' is not right: it must be true or false"),
        ({"max-lr": "1", "lr-scheduler": "cosine"}, "'max_lr': since fairseq 0.10 lr_scheduler = 'cosine' has"),
        ({"no-c10d": ""}, "unknown hyperparameter 'no_c10d': it is a value of ddp_backend"),
        ({"inverse_sqrt": "true"}, "'inverse_sqrt': it is a value of lr_scheduler"),
        ({"transformer-iwslt-de-en": ""}, "'transformer_iwslt_de_en': it is a value of arch"),
        ({"maxtokens": "1"}, "did you mean 'max_tokens'"),
        ({"fp16_no_flatten_grads": "perhaps"}, "it is a flag, and must be true or false"),
        ({"beam": "wide"}, "beam = 'wide' is not right: --beam: invalid int value"),
        ({"eval_bleu_args": "5"}, "eval_bleu_args = '5' is not right: it must be a JSON object"),
        ({"eval_bleu_args": '{"bean": 1}'}, "eval_bleu_args has the unknown 'bean'; did you mean 'beam'"),
        ({"bpe_merges": "0"}, "bpe_merges = '0' is not right: it must be a whole number, at least 1"),
        ({"best_checkpoint_metric": "blue"}, "best_checkpoint_metric = 'blue' is not right: did you mean 'bleu'"),
        ({"best_checkpoint_metric": "bleu", "eval_bleu": "false"}, "needs eval_bleu"),
    ],
)
def test_invalid_hyperparameters_are_refused(texts: dict[str, str], said: str) -> None:
    with pytest.raises(JobError, match=r"hyperparameters\.json: ") as error:
        read(**texts)
    assert said in str(error.value)


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(JobError, match=r"unknown hyperparameter 'archh'.*lr = 'x'.*beam = 'y'"):
        read(archh="1", lr="x", beam="y")


def test_half_precision_needs_a_gpu(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "propagate", True)
    with caplog.at_level(logging.WARNING):
        found = read(fp16="true")
    assert "fp16: this host has no GPU" in caplog.text
    assert not parsed(found).fp16
    on_gpu = read(True, fp16="true")
    assert parsed(on_gpu).fp16
    assert not parsed(on_gpu).cpu


def test_mixed_precision_on_a_cpu_is_autocast() -> None:
    on_cpu, on_gpu = read(amp="true"), read(True, amp="true")
    assert (on_cpu.autocast, on_gpu.autocast, read(amp="false").autocast) == (True, False, False)
    assert not parsed(on_cpu).amp
    assert parsed(on_gpu).amp


def test_generation_options_of_the_evaluation() -> None:
    assert read().evaluation == {"beam": 5, "max_len_a": 1.2, "max_len_b": 10}
    assert read(beam="3", max_len_b="20", eval_bleu_args='{"beam": 1}').evaluation == {
        "beam": 1,
        "max_len_a": 1.2,
        "max_len_b": 20,
    }
    assert read(beam="3").generation == {"beam": 3}
    assert read(eval_bleu="false").evaluation is None
