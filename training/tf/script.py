"""Explains what goes wrong in a script that is distributed."""

from __future__ import annotations

from byo_container.training.user_script import run


def run_explained(script: list[str]) -> None:
    """Runs the script. Where Keras rejects a loss in a custom training loop, the error says what to do."""
    try:
        run(script)
    except ValueError as error:
        if "tf.keras.losses.Reduction" not in str(error):
            raise
        raise RuntimeError(
            "a training loop of the script's own cannot be distributed as it is: give its losses "
            "reduction=tf.keras.losses.Reduction.NONE, average them over the global batch, and run each step by "
            "tf.distribute.get_strategy().run; or train by model.fit; or ask for hyperparameter launcher=single, by "
            "which every host trains a model of its own"
        ) from error
