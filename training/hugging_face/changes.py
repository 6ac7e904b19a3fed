"""What is changed in each module, when a script imports it."""

from __future__ import annotations

from byo_container.training.hugging_face import dataset_cache, names, trainer

BY_MODULE = {
    "datasets": names.change_datasets,
    "datasets.arrow_dataset": dataset_cache.change_arrow_dataset,
    "transformers": names.change_transformers,
    "transformers.hf_argparser": trainer.change_argument_parser,
    "transformers.optimization": names.change_optimization,
    "transformers.tokenization_utils_base": names.change_tokenizers,
    "transformers.trainer": trainer.change_trainer,
    "transformers.trainer_callback": trainer.change_callbacks,
    "transformers.trainer_utils": names.change_trainer_utils,
    "transformers.training_args": trainer.change_training_args,
    "transformers.training_args_seq2seq": trainer.change_seq2seq_args,
    "transformers.utils": names.change_utils,
}
