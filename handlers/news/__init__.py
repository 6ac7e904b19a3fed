"""The news classifier: headlines to one of four categories, in Keras 3 on TensorFlow.

MODEL_HANDLER=byo_container.handlers.news:NewsClassifier train     # reads newsCorpora.csv in the channel `training`
MODEL_HANDLER=byo_container.handlers.news:NewsClassifier serve     # {"input": "headline"} → {"result": "Business"}
"""

from byo_container.handlers.news.handler import NewsClassifier

__all__ = ["NewsClassifier"]
