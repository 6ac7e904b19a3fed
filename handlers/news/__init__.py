"""The news classifier: headlines to one of four categories, in Keras 3 on TensorFlow.

MODEL_HANDLER=handlers.news:NewsClassifier train     # reads newsCorpora.csv in the channel `training`
MODEL_HANDLER=handlers.news:NewsClassifier serve     # {"input": "headline"} → {"result": "Business"}
"""

from handlers.news.handler import NewsClassifier

__all__ = ["NewsClassifier"]
