"""The model of sentiment.py, trained asynchronously: every worker takes steps of its own, and the parameter servers,
one on each host, put together what they have learned.

Hyperparameters: sagemaker_program=asynchronous.py, sagemaker_parameter_server_enabled=true, epochs, batch_size.
"""

import math
import os

import tensorflow as tf
from sentiment import build, parse, read


def main():
    args = parse()
    train, test = read(args.train, "train"), read(args.test, "test")
    strategy = tf.distribute.ParameterServerStrategy(tf.distribute.cluster_resolver.TFConfigClusterResolver())
    with strategy.scope():
        model = build(train[0].shape[1], args.learning_rate)

    def batches(data):
        # Each worker has the data in an order of its own.
        return tf.keras.utils.experimental.DatasetCreator(
            lambda _: tf.data.Dataset.from_tensor_slices(data).shuffle(len(data[0])).repeat().batch(args.batch_size)
        )

    def steps(data):
        return math.ceil(len(data[0]) / args.batch_size)

    model.fit(batches(train), steps_per_epoch=steps(train), epochs=args.epochs, verbose=2)
    loss, accuracy = model.evaluate(batches(test), steps=steps(test), verbose=0)
    print(f"test_loss={loss:.4f}; test_accuracy={accuracy:.4f};")
    model.save(os.path.join(args.model_dir, "1"))


if __name__ == "__main__":
    main()
