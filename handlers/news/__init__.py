"""The news classifier: assigns headlines to one of four categories, by Keras 3 on TensorFlow.

MODEL_HANDLER=byo_container.handlers.news:NewsClassifier train     # reads newsCorpora.csv in the channel `training`
MODEL_HANDLER=byo_container.handlers.news:NewsClassifier serve     # {"input": "headline"} → {"result": "Business"}

handler.py          the methods that train and serve call
hyperparameters.py  what a job may set
requests.py         inputs ↔ outputs
predictor.py        the loaded model
artifact.py         the model folder
preprocessing/      newsCorpora.csv → numbers of features
training/           a training job
text.py             headline → words, the same in training and serving
sample.py           headlines for a demonstration
"""

from byo_container.handlers.news.handler import NewsClassifier

__all__ = ["NewsClassifier"]
