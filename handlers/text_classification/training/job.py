"""One rank of a fine-tuning job, from the channels to the model folder."""

from __future__ import annotations

from typing import Any

from byo_container.container.job import TrainingJob
from byo_container.container.progress import say
from byo_container.handlers.text_classification import artifact, pretrained
from byo_container.handlers.text_classification.hyperparameters import Hyperparameters
from byo_container.handlers.text_classification.preprocessing import splits
from byo_container.handlers.text_classification.preprocessing.padding import PadToBucket
from byo_container.handlers.text_classification.preprocessing.tokenizing import tokenize

MAX_LENGTH = 512


def run(job: TrainingJob[Hyperparameters]) -> None:
    """Fine-tunes as the job's hyperparameters say. Raises JobError for what is wrong with the job."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    chosen = job.hyperparameters
    data = splits.read(job.channels, chosen.seed)
    source = pretrained.find(job)
    tokenizer: Any = AutoTokenizer.from_pretrained(source)
    model = AutoModelForSequenceClassification.from_pretrained(
        source,
        num_labels=len(data.labels),
        id2label=dict(enumerate(data.labels)),
        label2id={name: index for index, name in enumerate(data.labels)},
    )
    width = min(chosen.max_length or MAX_LENGTH, model.config.max_position_embeddings)
    train, validation = (tokenize(part, tokenizer, width) for part in (data.train, data.validation))
    arguments = TrainingArguments(
        output_dir=str(job.checkpoint_dir),
        num_train_epochs=chosen.epochs,
        per_device_train_batch_size=chosen.train_batch_size,
        per_device_eval_batch_size=chosen.eval_batch_size,
        learning_rate=chosen.learning_rate,
        bf16=True,
        use_cpu=not torch.cuda.is_available(),
        eval_strategy="epoch",
        save_strategy="epoch",
        seed=chosen.seed,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        data_collator=PadToBucket(tokenizer.pad_token_id, width),
        train_dataset=train,
        eval_dataset=validation,
        compute_metrics=lambda found: {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())},
    )
    trainer.train()
    artifact.save(trainer.model, tokenizer, job.model_dir)
    say(f"saved {job.model_dir}")
