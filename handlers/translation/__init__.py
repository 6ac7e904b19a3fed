"""Translation by fairseq: sentences of one language in, sentences of another out.

MODEL_HANDLER=translation train     # reads train.de and train.en in the channel `training`
MODEL_HANDLER=translation serve     # "Guten Morgen" → "Good morning"

preparing/     text files → what fairseq trains on; prepare.py is its command
learning/      one rank of a training job
bundle.py      the model folder, between the two
translating/   raw text → raw text
text.py        sentence ↔ words ↔ pieces, the same in training and serving
conventions.py how text was preprocessed, in lower case or not, told from its words
shims.py       what fairseq 0.12.2 needs to run on today's Python and PyTorch
"""

from byo_container.handlers.translation.handler import Translation

__all__ = ["Translation"]
