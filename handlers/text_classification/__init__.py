"""Text classification: fine-tunes an encoder such as BERT by Hugging Face's Trainer, and serves it.

MODEL_HANDLER=text_classification train     # reads the channels `train` and `test`
MODEL_HANDLER=text_classification serve     # {"inputs": "text"} → [{"label": "joy", "score": 0.98}]

handler.py          the methods that train and serve call
hyperparameters.py  what a job may set
pretrained.py       where the encoder and its tokenizer come from
model_parts.py      whether its files belong together
requests.py         inputs ↔ outputs
predictor.py        the loaded model
artifact.py         the model folder
quantization.py     8-bit weights beside it; also a command
preprocessing/      files of a channel → token ids and labels
training/           a training job
inference/          ways to compute a batch, of which the fastest is the default
prepare.py          a command: raw text → channels
sample.py           texts for a demonstration
"""

from byo_container.handlers.text_classification.handler import TextClassification

__all__ = ["TextClassification"]
