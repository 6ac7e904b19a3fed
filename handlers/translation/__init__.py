"""Translation by fairseq: sentences of one language to sentences of another.

MODEL_HANDLER=translation train     # reads train.de and train.en in the channel `training`
MODEL_HANDLER=translation serve     # "Guten Morgen" → "Good morning"

handler.py          the methods that train and serve call
hyperparameters.py  what a job may set
requests.py         inputs ↔ outputs
predictor.py        the loaded model
artifact.py         the model folder
preprocessing/      text files → what fairseq trains on; prepare.py is its command
training/           one rank of a training job
inference/          a checkpoint → translations of sentences
text.py             sentence ↔ words ↔ subword tokens, the same in training and serving
compat.py           patches by which fairseq 0.12.2 runs on today's Python and PyTorch
sample.py           sentences for a demonstration
"""

from byo_container.handlers.translation.handler import Translation

__all__ = ["Translation"]
