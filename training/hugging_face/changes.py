"""What is changed in each module, when a script imports it."""

from __future__ import annotations

from types import ModuleType

from byo_container.training.hugging_face import dataset_cache, dataset_texts, loading, names, trainer
from byo_container.training.hugging_face.loading import taking_older_token


def change_tokenizers(module: ModuleType) -> None:
    names.change_tokenizers(module)
    taking_older_token("PreTrainedTokenizerBase")(module)


BY_MODULE = {
    "accelerate.utils.dataclasses": names.change_accelerate,
    "datasets": names.change_datasets,
    "datasets.arrow_dataset": dataset_cache.change_arrow_dataset,
    "datasets.load": loading.change_load,
    "datasets.table": dataset_texts.change_table,
    "transformers": names.change_transformers,
    "transformers.configuration_utils": taking_older_token("PreTrainedConfig"),
    "transformers.file_utils": names.change_file_utils,
    "transformers.hf_argparser": trainer.change_argument_parser,
    "transformers.modeling_utils": loading.change_models,
    # AutoModel… pass what they are given to the configuration first.
    "transformers.models.auto.auto_factory": taking_older_token("_BaseAutoModelClass"),
    "transformers.models.auto.configuration_auto": taking_older_token("AutoConfig"),
    "transformers.models.auto.tokenization_auto": taking_older_token("AutoTokenizer"),
    "transformers.optimization": names.change_optimization,
    "transformers.tokenization_utils_base": change_tokenizers,
    "transformers.trainer": trainer.change_trainer,
    "transformers.trainer_callback": trainer.change_callbacks,
    "transformers.trainer_utils": names.change_trainer_utils,
    "transformers.training_args": trainer.change_training_args,
    "transformers.utils": names.change_utils,
}
