"""A handler: it learns how loud to shout from the texts of the channel `training`."""

from dataclasses import dataclass

from byo_container import Handler


class Shout(Handler):
    @dataclass(frozen=True)
    class Hyperparameters:
        mark: str = "!"

    def train(self, job):
        texts = [path.read_text() for path in job.channel("training").files("*.txt")]
        marks = max(text.count(job.hyperparameters.mark) for text in texts)
        print(f"epoch 1/1: marks={marks};")
        (job.model_dir / "ending.txt").write_text(job.hyperparameters.mark * marks)

    def load(self, model_dir):
        return (model_dir / "ending.txt").read_text()

    def predict(self, model, inputs):
        return [{"result": text.upper() + model} for text in inputs]
