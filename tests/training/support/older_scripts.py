"""Scripts for Transformers 4, in the shapes that were usual: each ends with status 0 where all of it works."""

# TrainingArguments from the command line, as the examples of Transformers 4 take them.
PARSES = """
import sys
from dataclasses import dataclass, field
import evaluate
import numpy as np
from datasets import load_from_disk, load_metric
from transformers import (AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, EvalPrediction,
    HfArgumentParser, Trainer,
    TrainingArguments, default_data_collator, is_torch_tpu_available, set_seed)
from transformers.trainer_utils import EvaluationStrategy, get_last_checkpoint
from transformers.utils import check_min_version, send_example_telemetry
from transformers.utils.versions import require_version

check_min_version("4.17.0")
require_version("datasets>=1.8.0")

@dataclass
class ModelArguments:
    model_name_or_path: str = field(metadata={"help": "the model"})
    use_auth_token: bool = field(default=False)

@dataclass
class DataArguments:
    dataset: str = field()
    max_seq_length: int = field(default=128)

def main():
    parser = HfArgumentParser((ModelArguments, DataArguments, TrainingArguments))
    model_args, data_args, training_args = parser.parse_args_into_dataclasses()
    send_example_telemetry("run_glue", model_args, data_args)
    set_seed(training_args.seed)
    assert training_args.eval_strategy == EvaluationStrategy.EPOCH == "epoch" and training_args.warmup_steps == 0.1
    assert training_args.overwrite_output_dir and not is_torch_tpu_available()
    dataset = load_from_disk(data_args.dataset)
    options = {"cache_dir": None, "revision": "main", "use_auth_token": True if model_args.use_auth_token else None}
    config = AutoConfig.from_pretrained(model_args.model_name_or_path, num_labels=3, **options)
    model = AutoModelForSequenceClassification.from_pretrained(
        model_args.model_name_or_path, from_tf=False, config=config, **options)
    tokenizer = AutoTokenizer.from_pretrained(model_args.model_name_or_path, use_fast=True, **options)
    metric = evaluate.load("glue", "sst2")
    assert load_metric("accuracy").compute(predictions=[1, 0], references=[1, 1]) == {"accuracy": 0.5}

    def compute_metrics(p: EvalPrediction):
        return metric.compute(predictions=np.argmax(p.predictions, axis=1), references=p.label_ids)

    trainer = Trainer(model=model, args=training_args, train_dataset=dataset, eval_dataset=dataset, tokenizer=tokenizer,
        compute_metrics=compute_metrics, data_collator=default_data_collator)
    result = trainer.train(resume_from_checkpoint=get_last_checkpoint(training_args.output_dir))
    trainer.save_model()
    trainer.log_metrics("train", result.metrics)
    trainer.save_metrics("train", result.metrics)
    trainer.save_state()
    assert 0 <= trainer.evaluate(eval_dataset=dataset)["eval_accuracy"] <= 1
    assert trainer.predict(dataset, metric_key_prefix="predict").predictions.shape == (len(dataset), 3)
    assert trainer.tokenizer is tokenizer
    print("trained", trainer.state.log_history[-1]["epoch"])

def _mp_fn(index):
    main()

if __name__ == "__main__":
    main()
"""
# A Trainer and an optimizer of the script's own, and older ways of tokenising.
OVERRIDES = """
import os, sys
import torch
from datasets import load_from_disk
from transformers import (AdamW, BertForSequenceClassification, BertTokenizer, DataCollatorWithPadding,
    EarlyStoppingCallback, Trainer, TrainingArguments, get_linear_schedule_with_warmup)

logged = []

class WeightedTrainer(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = torch.nn.functional.cross_entropy(outputs.logits, labels, weight=torch.tensor([1.0, 2.0, 2.0]))
        return (loss, outputs) if return_outputs else loss

    def log(self, logs):
        logged.append(logs)
        super().log(logs)

model_dir, data_dir, output_dir = sys.argv[1:4]
tokenizer = BertTokenizer.from_pretrained(model_dir)
one = tokenizer.encode_plus("i feel glad", pad_to_max_length=True, max_length=8, truncation=True, return_tensors="pt")
assert one["input_ids"].shape == (1, 8)
assert len(tokenizer.batch_encode_plus(["i feel", "i"])["input_ids"]) == 2
dataset = load_from_disk(data_dir).rename_column("label", "labels")
dataset = dataset.map(lambda rows: tokenizer(rows["text"], truncation=True), batched=True)
dataset.set_format("torch", columns=["input_ids", "attention_mask", "labels"])
model = BertForSequenceClassification.from_pretrained(model_dir, num_labels=3)
optimizer = AdamW(model.parameters(), lr=1e-2, correct_bias=False)
args = TrainingArguments(output_dir, evaluation_strategy="steps", eval_steps=2, save_steps=2, max_steps=4,
    per_gpu_train_batch_size=4, gradient_accumulation_steps=2, logging_steps=1, no_cuda=True,
    metric_for_best_model="eval_loss", group_by_length=True, half_precision_backend="auto", disable_tqdm=True,
    load_best_model_at_end=True, adafactor=False)
trainer = WeightedTrainer(model=model, args=args, train_dataset=dataset, eval_dataset=dataset, tokenizer=tokenizer,
    data_collator=DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8), callbacks=[EarlyStoppingCallback(3)],
    optimizers=(optimizer, get_linear_schedule_with_warmup(optimizer, 0, 4)))
trainer.train()
# The loss of a batch of eight, and not the sum of those of its two halves.
assert 0.8 < logged[0]["loss"] < 1.5, logged
trainer.save_model(output_dir)
"""
