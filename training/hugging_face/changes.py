"""What is changed in each module, when a script imports it."""

from __future__ import annotations

from types import ModuleType

from byo_container.training.hugging_face import dataset_cache, dataset_texts, loading, names, trainer


def change_tokenizers(module: ModuleType) -> None:
    names.change_tokenizers(module)
    loading.change_tokenizer(module)


BY_MODULE = {
    "accelerate.utils.dataclasses": names.change_accelerate,
    "datasets": names.change_datasets,
    "datasets.arrow_dataset": dataset_cache.change_arrow_dataset,
    "datasets.load": loading.change_load,
    "datasets.table": dataset_texts.change_table,
    "transformers": names.change_transformers,
    "transformers.configuration_utils": loading.change_config,
    "transformers.file_utils": names.change_file_utils,
    "transformers.hf_argparser": trainer.change_argument_parser,
    "transformers.modeling_utils": loading.change_models,
    "transformers.models.auto.auto_factory": loading.change_auto_models,
    "transformers.models.auto.configuration_auto": loading.change_auto_config,
    "transformers.models.auto.tokenization_auto": loading.change_auto_tokenizer,
    "transformers.optimization": names.change_optimization,
    "transformers.tokenization_utils_base": change_tokenizers,
    "transformers.trainer": trainer.change_trainer,
    "transformers.trainer_callback": trainer.change_callbacks,
    "transformers.trainer_utils": names.change_trainer_utils,
    "transformers.training_args": trainer.change_training_args,
    "transformers.utils": names.change_utils,
}
