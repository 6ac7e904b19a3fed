"""Defaults of training options, by architecture and optimizer: those of the AWS sample for fconv, and others for other
architectures. Names and meanings are fairseq's."""

from __future__ import annotations

from collections.abc import Mapping

ARCHITECTURE = "fconv_iwslt_de_en"  # as in the sample
ALWAYS = {
    "criterion": "label_smoothed_cross_entropy",
    # Transformers have parameters without a gradient in some steps, which PyTorch's own wrapper refuses.
    "ddp_backend": "legacy_ddp",
    "skip_invalid_size_inputs_valid_test": "true",
}
BY_OPTIMIZER = {
    "nag": {"lr": "0.25", "lr_scheduler": "fixed", "clip_norm": "0.1"},
    "sgd": {"lr": "0.25", "lr_scheduler": "fixed", "clip_norm": "0.1"},
    "adam": {"lr": "0.0007", "lr_scheduler": "inverse_sqrt", "clip_norm": "0.0", "adam_betas": "(0.9, 0.98)"},
}
PYTORCH_DDP = ("pytorch_ddp", "c10d")
DROPOUT = {"fconv": "0.2", "other": "0.3"}
MAX_TOKENS = "4000"
# From update 4,000 on, the learning rate is that of fairseq's recipe for IWSLT (0.0005 after 4,000 updates).
WARMUP_UPDATES = "2000"
LIMITS = ("max_epoch", "max_update", "stop_time_hours", "patience")
SLOWLY_FALLING = ("inverse_sqrt", "fixed")
"""Schedules that never reach a `stop_min_lr` such as the 1e-9 in fairseq's examples."""
FINAL_LEARNING_RATE = "1e-5"
DEFAULT_EPOCHS = "50"
HIGHER_IS_BETTER = ("bleu", "chrf")


def complete(options: Mapping[str, str]) -> dict[str, str]:
    """The defaults for what `options` does not set, by fairseq's names."""
    defaults: dict[str, str] = {}

    def default(name: str, value: str) -> str:
        """Sets a default unless the option is set, and returns its value."""
        if name not in options:
            defaults.setdefault(name, value)
        return options[name] if name in options else defaults[name]

    is_convolution = default("arch", ARCHITECTURE).startswith("fconv")
    optimizer = default("optimizer", "nag" if is_convolution else "adam")
    if "force_anneal" in options:
        default("lr_scheduler", "fixed")  # the scheduler with that option
    if options.get("ddp_backend") in PYTORCH_DDP:
        default("find_unused_parameters", "true")
    for name, value in {**BY_OPTIMIZER.get(optimizer, {}), **ALWAYS}.items():
        default(name, value)
    default("dropout", DROPOUT["fconv" if is_convolution else "other"])
    if default("criterion", "").startswith("label_smoothed"):
        default("label_smoothing", "0.1")
    scheduler = default("lr_scheduler", "fixed")
    if scheduler == "inverse_sqrt":
        default("warmup_updates", WARMUP_UPDATES)
        if minimum := _positive(options.get("stop_min_lr", "")):
            # By default warm-up starts at 0, and fairseq ends before the first update.
            default("warmup_init_lr", f"{2 * minimum:g}")
    if "batch_size" not in options:
        default("max_tokens", MAX_TOKENS)
    return defaults | _ending(options, scheduler) | _kept_checkpoints(options)


def _positive(text: str) -> float | None:
    """The number if it is above 0, else None; fairseq's parser reports what is wrong with it."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number > 0 else None


def _ending(options: Mapping[str, str], scheduler: str) -> dict[str, str]:
    """When training ends; by default fairseq trains for ever. Where a schedule lowers the learning rate (in the sample,
    after 200 epochs), training ends when it is nearly 0, as in the fairseq release that the sample was written for."""
    if any(name in options for name in LIMITS):
        return {}
    if "stop_min_lr" in options and ("force_anneal" in options or scheduler not in SLOWLY_FALLING):
        return {}
    if "force_anneal" in options:
        return {"stop_min_lr": FINAL_LEARNING_RATE}
    return {"max_epoch": DEFAULT_EPOCHS}


def _kept_checkpoints(options: Mapping[str, str]) -> dict[str, str]:
    """Which checkpoints are kept: the last and the best. By default fairseq keeps one of every epoch."""
    kept = {}
    if options.get("best_checkpoint_metric") in HIGHER_IS_BETTER:
        kept["maximize_best_checkpoint_metric"] = "true"
    if not {"keep_last_epochs", "save_interval", "no_epoch_checkpoints"} & set(options):
        kept["no_epoch_checkpoints"] = "true"
    if "save_interval_updates" in options and "keep_interval_updates" not in options:
        kept["keep_interval_updates"] = "1"
    return kept
