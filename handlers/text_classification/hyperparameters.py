"""What a fine-tuning job may set. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from byo_container.container.failure import JobError
from byo_container.container.hyperparameters import Aliases, Range

Schedule = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt"
]
Sampling = Literal["group_by_length", "random", "sequential"]
_SOURCE = "the channels and folders are those of the job"
_ALWAYS = "a job trains and evaluates"
_DEBUGGER = "SageMaker's profiler and debugger are not here: the log and the report have speed and memory"


@dataclass(frozen=True)
class Hyperparameters:
    """The names of SageMaker's sample and of Hugging Face's TrainingArguments, with their meanings."""

    # The model
    model_id: Annotated[
        str | None,
        Aliases("model_name", "model_name_or_path", "pretrained_model", "pretrained_model_name_or_path", "checkpoint"),
    ] = None
    """A name of the hub, or a path; without it the channel `model`."""
    allow_pickle: bool = False
    """Whether weights may come as pytorch_model.bin, where there is no model.safetensors."""
    max_length: Annotated[int, Range(4, 1_000_000), Aliases("max_seq_length", "max_seq_len", "max_len")] | None = None
    """Tokens of a text; without it as many as the model takes, at most 512."""

    # How long, and in what order
    epochs: Annotated[int, Range(1, 10_000), Aliases("num_train_epochs", "num_epochs")] = 4
    max_steps: Annotated[int, Range(1)] | None = None
    """Optimizer steps, instead of epochs."""
    train_batch_size: Annotated[
        int,
        Range(1, 65536),
        Aliases("batch_size", "per_device_train_batch_size", "per_gpu_train_batch_size"),
    ] = 24
    """Rows of a batch, of each rank."""
    eval_batch_size: Annotated[
        int, Range(1, 65536), Aliases("per_device_eval_batch_size", "per_gpu_eval_batch_size", "test_batch_size")
    ] = 32
    gradient_accumulation_steps: Annotated[int, Range(1, 65536)] = 1
    train_sampling_strategy: Sampling = "group_by_length"
    group_by_length: bool | None = None
    """The former name: true for train_sampling_strategy=group_by_length, false for random."""
    seed: Annotated[int, Range(0, 2**31 - 1)] = 42

    # The optimizer, AdamW
    learning_rate: Annotated[float, Range(0, 1, above=True), Aliases("lr")] = 3e-5
    lr_scheduler_type: Annotated[Schedule, Aliases("lr_scheduler")] = "linear"
    warmup_steps: Annotated[int, Range(0)] | None = None
    warmup_ratio: Annotated[float, Range(0, 1)] | None = None
    weight_decay: Annotated[float, Range(0, 1)] = 0.0
    max_grad_norm: Annotated[float, Range(0)] = 1.0
    """0 for no limit."""
    label_smoothing: Annotated[float, Range(0, 1), Aliases("label_smoothing_factor")] = 0.0

    # How it is computed
    fp16: bool | None = None
    bf16: bool | None = None
    """Mixed precision; see training/precision.py."""
    compile: Annotated[bool | Literal["auto"], Aliases("torch_compile")] = "auto"
    gradient_checkpointing: bool = False
    """Computes activations again rather than keep them: less memory, more time."""
    dataloader_num_workers: Annotated[int, Range(0, 64)] = 0

    # How it is served
    int8: bool | Literal["auto"] = "auto"
    """Saves 8-bit weights for CPUs beside the model; by itself only where they are as accurate."""

    # Low-rank adapters (LoRA), where lora_r is set
    lora_r: Annotated[int, Range(1, 4096), Aliases("lora_rank")] | None = None
    lora_alpha: Annotated[float, Range(0, above=True)] | None = None
    """Twice lora_r without it."""
    lora_dropout: Annotated[float, Range(0, 1)] = 0.0
    lora_target_modules: str | None = None
    """Layer names with commas between them, or a JSON list; all linear layers of the encoder without it."""

    # Evaluation, and when to save
    metric_for_best_model: Annotated[Literal["accuracy", "f1", "loss"], Aliases("best_metric")] = "accuracy"
    early_stopping_patience: Annotated[int, Range(1), Aliases("patience")] | None = None
    """Evaluations without a better metric after which training ends."""
    eval_steps: Annotated[int, Range(1)] | None = None
    """Evaluates and saves after so many steps too, and not only after each epoch."""
    save_steps: Annotated[int, Range(1)] | None = None
    save_minutes: Annotated[float, Range(0, above=True)] = 10.0
    """Saves a checkpoint after so many minutes too: what a job loses by a spot interruption."""
    logging_steps: Annotated[int, Range(1)] | None = None
    """Logs the loss after so many steps too, and not only every 10 s."""

    WITHOUT_EFFECT: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("output_dir", "output_data_dir", "model_dir", "logging_dir"), _SOURCE),
        **dict.fromkeys(("training_dir", "train_dir", "test_dir", "train_file", "test_file"), _SOURCE),
        **dict.fromkeys(("do_train", "do_eval", "do_predict", "evaluation_strategy", "eval_strategy"), _ALWAYS),
        **dict.fromkeys(("save_strategy", "load_best_model_at_end", "overwrite_output_dir"), _ALWAYS),
        **dict.fromkeys(("n_gpus", "n_gpu", "num_gpus", "use_cpu", "no_cuda"), "what the host has is used"),
        **dict.fromkeys(("disable_profiler", "debugger_hook_config", "profiler_config"), _DEBUGGER),
        **dict.fromkeys(("report_to", "disable_tqdm"), "metrics are lines of the log, for TensorBoard too"),
        **dict.fromkeys(("optim",), "it is AdamW in one kernel (adamw_torch_fused)"),
        **dict.fromkeys(("length_column_name", "dataloader_drop_last"), "batches are made by the handler"),
    }

    def __post_init__(self) -> None:
        if self.warmup_steps is not None and self.warmup_ratio is not None:
            raise JobError(
                f"warmup_steps={self.warmup_steps} and warmup_ratio={self.warmup_ratio} exclude each other; leave one"
            )
        adapters = [name for name in ("lora_alpha", "lora_dropout", "lora_target_modules") if getattr(self, name)]
        if adapters and self.lora_r is None:
            raise JobError(f"{', '.join(adapters)} would have no effect; LoRA needs lora_r, the rank of its adapters")
        if self.fp16 and self.bf16:
            raise JobError("fp16 and bf16 are both true; leave one: fp16 alone takes bfloat16 where that is better")

    @property
    def sampling(self) -> Sampling:
        """How batches are made of rows, by either name."""
        if self.group_by_length is None:
            return self.train_sampling_strategy
        return "group_by_length" if self.group_by_length else "random"

    @property
    def warmup(self) -> float:
        """Steps where it is 1 or more, else a share of all steps, as TrainingArguments.warmup_steps has it."""
        return self.warmup_steps or self.warmup_ratio or 0
