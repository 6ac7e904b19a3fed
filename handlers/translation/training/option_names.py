"""Options of fairseq's whose value is settled here, and names that they had in its earlier releases.

A job may say what is so anyway ("distributed-backend": "gloo", "task": "translation"): that is accepted, with a remark
in the log. Anything else is refused with the reason. What an option was called, and when: fairseq's own history,
https://github.com/facebookresearch/fairseq (fairseq/options.py and fairseq/dataclass/configs.py of each release).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TRUE, FALSE = ("true", "1", "yes", ""), ("false", "0", "no")


@dataclass(frozen=True)
class Settled:
    """An option that a job cannot change: why, and the values that are accepted because they change nothing."""

    reason: str
    accepted: tuple[str, ...] | None = ()
    """In lower case; None for any."""

    def accepts(self, text: str) -> bool:
        return self.accepted is None or text.strip().lower() in self.accepted


RENAMED = {"min_lr": "stop_min_lr", "sampling_temperature": "temperature"}
"""Old name → today's, where the architecture and the scheduler have no option of the old name. Those which fairseq
itself still knows by their old name (max_sentences, relu_dropout, c10d and no_c10d) are not among them."""

GONE = {
    "max_lr": "since fairseq 0.10 lr_scheduler = 'cosine' has 'lr' for the highest and 'min_lr' for the lowest",
    "tbmf_wrapper": "fairseq has dropped it",
    "sample_without_replacement": "fairseq has dropped it",
    "buffer_size": "a request's sentences are translated in batches anyway",
    "input": "the endpoint translates what a request holds",
}

_NONE = ("", "none", "null")
_PIECES_ARE_JOINED = ("@@", "subword_nmt", *TRUE)
_RANKS = "how ranks are started follows from resourceconfig.json and the hyperparameter launcher; leave it out"
_CURVES = "metrics are written for every job, for TensorBoard too"
_FORM = "the files in the channel tell which form the text has"
_GENERATE = "it is about what fairseq-generate prints"
_LINES = "the log has a line for the figures, and no bar"
_CODE_OF_ITS_OWN = "it is for networks that are not trained here"

SETTLED: Mapping[str, Settled] = {
    # Training
    "data": Settled("the channel says it"),
    "task": Settled("it is translation", ("translation", *_NONE)),
    "user_dir": Settled("it would run code that came with the data", _NONE),
    "save_dir": Settled("checkpoints go to /opt/ml/checkpoints", ("/opt/ml/checkpoints", "checkpoints", *_NONE)),
    "restore_file": Settled("a job resumes from /opt/ml/checkpoints by itself", ("checkpoint_last.pt", *_NONE)),
    "no_save": Settled("a job that saves nothing leaves no model", FALSE),
    "no_last_checkpoints": Settled("a job resumes from its last checkpoint", FALSE),
    "no_save_optimizer_state": Settled("a job resumes with its optimizer's state", FALSE),
    "write_checkpoints_asynchronously": Settled("it needs a package that is not here", FALSE),
    "save_async": Settled("it needs a package that is not here", FALSE),
    "train_subset": Settled("it is called train", ("train", *_NONE)),
    "valid_subset": Settled("it is called valid", ("valid", *_NONE)),
    "tpu": Settled("there is no PyTorch for TPUs here", FALSE),
    "raw_text": Settled(_FORM, None),
    "lazy_load": Settled(_FORM, None),
    "dataset_impl": Settled(_FORM, None),
    "tokenizer": Settled("words are Moses'", ("moses", *_NONE)),
    "bpe": Settled("pieces are those of subword-nmt", ("subword_nmt", *_NONE)),
    "scoring": Settled("BLEU and chrF are measured, by sacrebleu", ("bleu", "sacrebleu", "chrf", *_NONE)),
    "sacrebleu": Settled("BLEU and chrF are measured by sacrebleu", None),
    "eval_bleu_detok": Settled("BLEU is that of plain text, by Moses' rules", ("moses", *_NONE)),
    "eval_bleu_detok_args": Settled("BLEU is that of plain text, by Moses' rules", ("{}", *_NONE)),
    "eval_bleu_remove_bpe": Settled("BLEU is that of plain text", _PIECES_ARE_JOINED),
    "eval_tokenized_bleu": Settled("BLEU is that of plain text", FALSE),
    "eval_bleu_print_samples": Settled("translations are measured, not printed", None),
    # The log
    "no_progress_bar": Settled(_LINES, None),
    "log_format": Settled(_LINES, None),
    "log_file": Settled("the log is the platform's", _NONE),
    "tensorboard_logdir": Settled(_CURVES, _NONE),
    "aim_repo": Settled(_CURVES, _NONE),
    "aim_run_hash": Settled(_CURVES, _NONE),
    "wandb_project": Settled(_CURVES, _NONE),
    "azureml_logging": Settled(_CURVES, FALSE),
    # How ranks are started
    "distributed_no_spawn": Settled(_RANKS, TRUE),
    "distributed_init_method": Settled(_RANKS, ("env://", *_NONE)),
    # Generation
    "path": Settled("the endpoint serves the model that the job leaves"),
    "model_overrides": Settled("the endpoint serves the model that the job leaves", ("{}", *_NONE)),
    "gen_subset": Settled(
        "the validation sentences are translated; to measure others put them into the channel validation",
        ("valid", *_NONE),
    ),
    "results_path": Settled("scores are metrics, and translations are the endpoint's", _NONE),
    "remove_bpe": Settled("pieces are joined anyway", _PIECES_ARE_JOINED),
    "post_process": Settled("pieces are joined anyway", _PIECES_ARE_JOINED),
    "quiet": Settled(_GENERATE, None),
    "print_step": Settled(_GENERATE, FALSE),
    "print_alignment": Settled("the endpoint answers with texts and scores only", FALSE),
    "score_reference": Settled("the endpoint has no references", FALSE),
    "prefix_size": Settled("the endpoint has no references to take a prefix from", ("0",)),
    "match_source_len": Settled("it is for tagging, where the target is as long as the source", FALSE),
    "no_early_stop": Settled("fairseq itself ignores it", None),
    "no_beamable_mm": Settled("it changes no translation", None),
    "constraints": Settled("the endpoint takes no words that a translation must have", FALSE),
    "lm_path": Settled("the endpoint has no language model", _NONE),
    "lm_weight": Settled("the endpoint has no language model", ("0", "0.0")),
    "retain_dropout": Settled("the endpoint translates without dropout", FALSE),
    "retain_dropout_modules": Settled("the endpoint translates without dropout", _NONE),
    "retain_iter_history": Settled(_CODE_OF_ITS_OWN, FALSE),
    "decoding_format": Settled(_CODE_OF_ITS_OWN, _NONE),
    "eos_token": Settled(_CODE_OF_ITS_OWN, _NONE),
    "no_seed_provided": Settled("it is set by fairseq itself", FALSE),
}
_PREFIXES = {
    ("distributed_", "device_id", "local_rank", "nprocs_per_node", "pipeline_"): Settled(_RANKS),
    ("iter_decode_",): Settled(_CODE_OF_ITS_OWN),
}


def settled(name: str, has_gpu: bool) -> Settled | None:
    """Why the option `name`, with underscores, cannot be chosen; None where it can."""
    if name == "distributed_backend":
        if has_gpu:
            return None
        return Settled("ranks without a GPU exchange their gradients by gloo", ("gloo", *_NONE))
    if name in SETTLED:
        return SETTLED[name]
    return next((found for prefixes, found in _PREFIXES.items() if name.startswith(prefixes)), None)
