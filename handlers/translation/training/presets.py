"""What an architecture is trained with where the job does not say: the gaps of the sample's own hyperparameters, and
for each family of networks settings of its own. Names and meanings are fairseq's."""

from __future__ import annotations

from collections.abc import Mapping

ARCHITECTURE = "fconv_iwslt_de_en"  # the sample's
ALWAYS = {
    "criterion": "label_smoothed_cross_entropy",
    # Transformers have parameters without a gradient in some steps, at which PyTorch's own wrapper stops.
    "ddp_backend": "legacy_ddp",
    "skip_invalid_size_inputs_valid_test": "true",
}
BY_OPTIMIZER = {
    "nag": {"lr": "0.25", "lr_scheduler": "fixed", "clip_norm": "0.1"},
    "sgd": {"lr": "0.25", "lr_scheduler": "fixed", "clip_norm": "0.1"},
    "adam": {"lr": "0.0007", "lr_scheduler": "inverse_sqrt", "clip_norm": "0.0", "adam_betas": "(0.9, 0.98)"},
}
PYTORCHS_OWN = ("pytorch_ddp", "c10d")
DROPOUT = {"fconv": "0.2", "other": "0.3"}
MAX_TOKENS = "4000"
# From update 4,000 on the learning rate of fairseq's own recipe for IWSLT (0.0005 after 4,000), and sooner there.
WARMUP_UPDATES = "2000"
END = ("max_epoch", "max_update", "stop_time_hours", "patience")
HARDLY_FALLING = ("inverse_sqrt", "fixed")
"""Schedules that, left alone, never come to a `stop_min_lr` such as the 1e-9 of fairseq's examples."""
LAST_LEARNING_RATE = "1e-5"
LAST_EPOCH = "50"
HIGHER_IS_BETTER = ("bleu", "chrf")


def complete(given: Mapping[str, str]) -> dict[str, str]:
    """The settings that `given` leaves open, by fairseq's names."""
    found: dict[str, str] = {}

    def settle(name: str, value: str) -> str:
        if name not in given:
            found.setdefault(name, value)
        return given[name] if name in given else found[name]

    is_convolution = settle("arch", ARCHITECTURE).startswith("fconv")
    optimizer = settle("optimizer", "nag" if is_convolution else "adam")
    if "force_anneal" in given:
        settle("lr_scheduler", "fixed")  # fairseq's default, whose option it is
    if given.get("ddp_backend") in PYTORCHS_OWN:
        settle("find_unused_parameters", "true")
    for name, value in {**BY_OPTIMIZER.get(optimizer, {}), **ALWAYS}.items():
        settle(name, value)
    settle("dropout", DROPOUT["fconv" if is_convolution else "other"])
    if settle("criterion", "").startswith("label_smoothed"):
        settle("label_smoothing", "0.1")
    scheduler = settle("lr_scheduler", "fixed")
    if scheduler == "inverse_sqrt":
        settle("warmup_updates", WARMUP_UPDATES)
        if least := _positive(given.get("stop_min_lr", "")):
            settle("warmup_init_lr", f"{2 * least:g}")  # it would begin at 0, and fairseq end before the first update
    if "batch_size" not in given:
        settle("max_tokens", MAX_TOKENS)
    return found | _ending(given, scheduler) | _keeping(given)


def _positive(text: str) -> float | None:
    """The number, where it is one above 0; what else is wrong with it fairseq's parser tells."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number > 0 else None


def _ending(given: Mapping[str, str], scheduler: str) -> dict[str, str]:
    """fairseq, left alone, trains for ever. Where a schedule lowers the learning rate (the sample's, after 200 epochs)
    training ends when there is nothing left of it, as it did in the fairseq that the sample was written for."""
    if any(name in given for name in END):
        return {}
    if "stop_min_lr" in given and ("force_anneal" in given or scheduler not in HARDLY_FALLING):
        return {}
    if "force_anneal" in given:
        return {"stop_min_lr": LAST_LEARNING_RATE}
    return {"max_epoch": LAST_EPOCH}


def _keeping(given: Mapping[str, str]) -> dict[str, str]:
    """fairseq, left alone, keeps a checkpoint of every epoch: what counts are the last and the best."""
    kept = {}
    if given.get("best_checkpoint_metric") in HIGHER_IS_BETTER:
        kept["maximize_best_checkpoint_metric"] = "true"
    if not {"keep_last_epochs", "save_interval", "no_epoch_checkpoints"} & set(given):
        kept["no_epoch_checkpoints"] = "true"
    if "save_interval_updates" in given and "keep_interval_updates" not in given:
        kept["keep_interval_updates"] = "1"
    return kept
