"""Options of fairseq with a fixed value, its former names of options, and the aliases that are common elsewhere.

A job may set a fixed option to its value ("distributed-backend": "gloo", "task": "translation"); the log then has a
remark. Any other value is refused with the reason. The former names are from fairseq's history,
https://github.com/facebookresearch/fairseq (fairseq/options.py and fairseq/dataclass/configs.py of each release).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TRUE, FALSE = ("true", "1", "yes", ""), ("false", "0", "no")


@dataclass(frozen=True)
class FixedOption:
    """An option that a job cannot change: the reason, and the values that are accepted as they change nothing."""

    reason: str
    accepted: tuple[str, ...] | None = ()
    """In lower case; None for any."""

    def accepts(self, text: str) -> bool:
        return self.accepted is None or text.strip().lower() in self.accepted


RENAMED = {"min_lr": "stop_min_lr", "sampling_temperature": "temperature"}
"""Former name → name in fairseq 0.12, unless the architecture or the scheduler has an option of the former name. Former
names that fairseq itself still accepts (max_sentences, relu_dropout, c10d and no_c10d) are not in this list."""

ALIASES = {
    "learning_rate": "lr",
    "epochs": "max_epoch",
    "num_train_epochs": "max_epoch",
    "max_steps": "max_update",
    "warmup_steps": "warmup_updates",
    "gradient_accumulation_steps": "update_freq",
    "max_grad_norm": "clip_norm",
    "early_stopping_patience": "patience",
    "num_beams": "beam",
}
"""Name in other frameworks (Keras, PyTorch Lightning, Hugging Face) → fairseq's, unless the architecture or the
scheduler has an option of that name. batch_size (sentences), dropout, momentum, patience, seed and weight_decay are
fairseq's own names."""

REMOVED = {
    "max_lr": "since fairseq 0.10 lr_scheduler = 'cosine' has 'lr' for the highest and 'min_lr' for the lowest",
    "tbmf_wrapper": "fairseq has dropped it",
    "sample_without_replacement": "fairseq has dropped it",
    "buffer_size": "a request's sentences are translated in batches anyway",
    "input": "the endpoint translates what a request holds",
}

_NONE = ("", "none", "null")
_JOINED = ("@@", "subword_nmt", *TRUE)
_RANKS = "how ranks are started follows from resourceconfig.json and the hyperparameter launcher; leave it out"
_CURVES = "metrics are written for every job, for TensorBoard too"
_FORM = "the files in the channel tell which form the text has"
_GENERATE = "it is about what fairseq-generate prints"
_LINES = "the log has a line for the figures, and no bar"
_OTHER_MODELS = "it is for models that are not trained here"

FIXED: Mapping[str, FixedOption] = {
    # Training
    "data": FixedOption("the channel says it"),
    "task": FixedOption("it is translation", ("translation", *_NONE)),
    "user_dir": FixedOption("it would run code that came with the data", _NONE),
    "save_dir": FixedOption("checkpoints go to /opt/ml/checkpoints", ("/opt/ml/checkpoints", "checkpoints", *_NONE)),
    "restore_file": FixedOption("a job resumes from /opt/ml/checkpoints by itself", ("checkpoint_last.pt", *_NONE)),
    "no_save": FixedOption("a job that saves nothing leaves no model", FALSE),
    "no_last_checkpoints": FixedOption("a job resumes from its last checkpoint", FALSE),
    "no_save_optimizer_state": FixedOption("a job resumes with its optimizer's state", FALSE),
    "write_checkpoints_asynchronously": FixedOption("it needs a package that is not here", FALSE),
    "save_async": FixedOption("it needs a package that is not here", FALSE),
    "train_subset": FixedOption("it is called train", ("train", *_NONE)),
    "valid_subset": FixedOption("it is called valid", ("valid", *_NONE)),
    "tpu": FixedOption("there is no PyTorch for TPUs here", FALSE),
    "raw_text": FixedOption(_FORM, None),
    "lazy_load": FixedOption(_FORM, None),
    "dataset_impl": FixedOption(_FORM, None),
    "tokenizer": FixedOption("words are Moses'", ("moses", *_NONE)),
    "bpe": FixedOption("subword tokens are those of subword-nmt", ("subword_nmt", *_NONE)),
    "scoring": FixedOption("BLEU and chrF are measured, by sacrebleu", ("bleu", "sacrebleu", "chrf", *_NONE)),
    "sacrebleu": FixedOption("BLEU and chrF are measured by sacrebleu", None),
    "eval_bleu_detok": FixedOption("BLEU is that of plain text, by Moses' rules", ("moses", *_NONE)),
    "eval_bleu_detok_args": FixedOption("BLEU is that of plain text, by Moses' rules", ("{}", *_NONE)),
    "eval_bleu_remove_bpe": FixedOption("BLEU is that of plain text", _JOINED),
    "eval_tokenized_bleu": FixedOption("BLEU is that of plain text", FALSE),
    "eval_bleu_print_samples": FixedOption("translations are measured, not printed", None),
    # The log
    "no_progress_bar": FixedOption(_LINES, None),
    "log_format": FixedOption(_LINES, None),
    "log_file": FixedOption("the log is the platform's", _NONE),
    "tensorboard_logdir": FixedOption(_CURVES, _NONE),
    "aim_repo": FixedOption(_CURVES, _NONE),
    "aim_run_hash": FixedOption(_CURVES, _NONE),
    "wandb_project": FixedOption(_CURVES, _NONE),
    "azureml_logging": FixedOption(_CURVES, FALSE),
    # How ranks are started
    "distributed_no_spawn": FixedOption(_RANKS, TRUE),
    "distributed_init_method": FixedOption(_RANKS, ("env://", *_NONE)),
    # Generation
    "path": FixedOption("the endpoint serves the model that the job leaves"),
    "model_overrides": FixedOption("the endpoint serves the model that the job leaves", ("{}", *_NONE)),
    "gen_subset": FixedOption(
        "the validation sentences are translated; to measure others put them into the channel validation",
        ("valid", *_NONE),
    ),
    "results_path": FixedOption("scores are metrics, and translations are the endpoint's", _NONE),
    "remove_bpe": FixedOption("subword tokens are joined anyway", _JOINED),
    "post_process": FixedOption("subword tokens are joined anyway", _JOINED),
    "quiet": FixedOption(_GENERATE, None),
    "print_step": FixedOption(_GENERATE, FALSE),
    "print_alignment": FixedOption("the endpoint answers with texts and scores only", FALSE),
    "score_reference": FixedOption("the endpoint has no references", FALSE),
    "prefix_size": FixedOption("the endpoint has no references to take a prefix from", ("0",)),
    "match_source_len": FixedOption("it is for tagging, where the target is as long as the source", FALSE),
    "no_early_stop": FixedOption("fairseq itself ignores it", None),
    "no_beamable_mm": FixedOption("it changes no translation", None),
    "constraints": FixedOption("the endpoint takes no words that a translation must have", FALSE),
    "lm_path": FixedOption("the endpoint has no language model", _NONE),
    "lm_weight": FixedOption("the endpoint has no language model", ("0", "0.0")),
    "retain_dropout": FixedOption("the endpoint translates without dropout", FALSE),
    "retain_dropout_modules": FixedOption("the endpoint translates without dropout", _NONE),
    "retain_iter_history": FixedOption(_OTHER_MODELS, FALSE),
    "decoding_format": FixedOption(_OTHER_MODELS, _NONE),
    "eos_token": FixedOption(_OTHER_MODELS, _NONE),
    "no_seed_provided": FixedOption("it is set by fairseq itself", FALSE),
}
_PREFIXES = {
    ("distributed_", "device_id", "local_rank", "nprocs_per_node", "pipeline_"): FixedOption(_RANKS),
    ("iter_decode_",): FixedOption(_OTHER_MODELS),
}


def fixed_option(name: str, has_gpu: bool) -> FixedOption | None:
    """The rule for the option `name`, with underscores; None for an option that a job may set."""
    if name == "distributed_backend":
        if has_gpu:
            return None
        return FixedOption("ranks without a GPU exchange their gradients by gloo", ("gloo", *_NONE))
    if name in FIXED:
        return FIXED[name]
    return next((fixed for prefixes, fixed in _PREFIXES.items() if name.startswith(prefixes)), None)
