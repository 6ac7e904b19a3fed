"""Is a review positive? Words to vectors, a convolution over them, and one neuron that answers.

Hyperparameters: sagemaker_program=sentiment.py, epochs, batch_size. Channels: train (x_train.npy, y_train.npy: word
numbers below 20,000 and 0 or 1) and test (x_test.npy, y_test.npy).
"""

import argparse
import os

import numpy as np
from tensorflow import keras

WORDS, DIMENSIONS = 20_000, 300


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--learning_rate", type=float, default=0.001)
    parser.add_argument("--model_dir", default=os.environ.get("SM_MODEL_DIR"))
    parser.add_argument("--train", default=os.environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--test", default=os.environ.get("SM_CHANNEL_TEST"))
    return parser.parse_args()


def read(folder, name):
    return np.load(f"{folder}/x_{name}.npy"), np.load(f"{folder}/y_{name}.npy")


def build(length, learning_rate):
    model = keras.Sequential(
        [
            keras.layers.Embedding(WORDS, DIMENSIONS, input_length=length),
            keras.layers.Conv1D(250, 3, padding="valid", activation="relu", strides=1),
            keras.layers.MaxPooling1D(),
            keras.layers.GlobalMaxPooling1D(),
            keras.layers.Dense(250, activation="relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    optimizer = keras.optimizers.Adam(learning_rate)
    model.compile(loss="binary_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    return model


def main():
    args = parse()
    x_train, y_train = read(args.train, "train")
    x_test, y_test = read(args.test, "test")
    model = build(x_train.shape[1], args.learning_rate)
    model.fit(x_train, y_train, batch_size=args.batch_size, epochs=args.epochs, validation_data=(x_test, y_test))
    loss, accuracy = model.evaluate(x_test, y_test, batch_size=args.batch_size, verbose=0)
    print(f"test_loss={loss:.4f}; test_accuracy={accuracy:.4f};")
    model.save(os.path.join(args.model_dir, "1"))


if __name__ == "__main__":
    main()
