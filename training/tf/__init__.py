"""What training/processes/tf_strategy.py changes in TensorFlow and Keras, in the process of a user's script."""
