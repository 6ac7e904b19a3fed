"""Serves what sentiment.py has trained: word numbers in (a list of reviews, each as long as those of the training), how
positive each review is out, from 0 to 1."""

import os

import numpy as np
import tensorflow as tf


def model_fn(model_dir):
    # The graph as it was saved: it needs no version of Keras.
    return tf.saved_model.load(os.path.join(model_dir, "1"))


def predict_fn(data, model):
    answer = model.signatures["serving_default"]
    ((name, spec),) = answer.structured_input_signature[1].items()
    (scores,) = answer(**{name: tf.constant(np.asarray(data), spec.dtype)}).values()
    return scores.numpy()[:, 0]
