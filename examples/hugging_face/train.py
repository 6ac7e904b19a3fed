# {"epochs": 4, "train_batch_size": 24, "eval_batch_size": 32, "learning_rate": 3e-5, "model_id": "bert-base-uncased"}
# A classifier of texts by Hugging Face's Trainer, as scripts were written for Transformers 4 and SageMaker Training
# Compiler. The channels `train` and `test` are datasets saved by save_to_disk: tokenised, with a column `label`.
import argparse
import logging
import os
import random
import sys

from datasets import load_from_disk
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

logger = logging.getLogger(__name__)


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--train_batch_size", type=int, default=32)
    parser.add_argument("--eval_batch_size", type=int, default=64)
    parser.add_argument("--warmup_steps", type=int, default=500)
    parser.add_argument("--learning_rate", type=float, default=5e-5)
    parser.add_argument("--fp16", type=lambda text: text.lower() in ("1", "true"), default=True)
    parser.add_argument("--model_id", type=str)
    parser.add_argument("--output_dir", type=str, default="/opt/ml/checkpoints")
    parser.add_argument("--model_dir", type=str, default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--output_data_dir", type=str, default=os.environ["SM_OUTPUT_DATA_DIR"])
    parser.add_argument("--n_gpus", type=str, default=os.environ["SM_NUM_GPUS"])
    parser.add_argument("--training_dir", type=str, default=os.environ["SM_CHANNEL_TRAIN"])
    parser.add_argument("--test_dir", type=str, default=os.environ["SM_CHANNEL_TEST"])
    return parser.parse_known_args()[0]


def compute_metrics(prediction):
    truth, classes = prediction.label_ids, prediction.predictions.argmax(-1)
    precision, recall, f1, _ = precision_recall_fscore_support(truth, classes, average="macro", zero_division=0)
    return {"accuracy": accuracy_score(truth, classes), "f1": f1, "precision": precision, "recall": recall}


def main():
    args = parse_arguments()
    logging.basicConfig(level=logging.INFO, handlers=[logging.StreamHandler(sys.stdout)])
    random.seed(0)
    train_dataset = load_from_disk(args.training_dir)
    test_dataset = load_from_disk(args.test_dir)
    logger.info("%d examples to train, %d to test", len(train_dataset), len(test_dataset))

    labels = train_dataset.features["label" if "label" in train_dataset.features else "labels"].names
    model = AutoModelForSequenceClassification.from_pretrained(
        args.model_id,
        num_labels=len(labels),
        label2id={name: str(number) for number, name in enumerate(labels)},
        id2label={str(number): name for number, name in enumerate(labels)},
    )
    tokenizer = AutoTokenizer.from_pretrained(args.model_id)
    training_args = TrainingArguments(
        output_dir=args.output_dir,
        overwrite_output_dir=True,
        num_train_epochs=args.epochs,
        per_device_train_batch_size=args.train_batch_size,
        per_device_eval_batch_size=args.eval_batch_size,
        warmup_steps=args.warmup_steps,
        learning_rate=args.learning_rate,
        fp16=args.fp16,
        evaluation_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        logging_dir=f"{args.output_data_dir}/logs",
        logging_strategy="steps",
        logging_steps=50,
        load_best_model_at_end=True,
        metric_for_best_model="f1",
        disable_tqdm=True,
        skip_memory_metrics=True,
    )
    trainer = Trainer(
        model=model,
        args=training_args,
        compute_metrics=compute_metrics,
        train_dataset=train_dataset,
        eval_dataset=test_dataset,
        tokenizer=tokenizer,
    )
    last = get_last_checkpoint(args.output_dir) if os.path.isdir(args.output_dir) else None
    trainer.train(resume_from_checkpoint=last)

    result = trainer.evaluate(eval_dataset=test_dataset)
    with open(os.path.join(args.output_data_dir, "eval_results.txt"), "w") as writer:
        for name, value in sorted(result.items()):
            writer.write(f"{name} = {value}\n")
            logger.info("%s = %s", name, value)
    trainer.save_model(args.model_dir)


# By which the launcher of SageMaker Training Compiler starts a process for each GPU.
def _mp_fn(index):
    main()


if __name__ == "__main__":
    main()
