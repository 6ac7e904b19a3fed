"""When a job logs, saves, evaluates and ends, besides what its epochs bring: a callback of the Trainer's."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from byo_container.container.failure import JobError
from byo_container.container.process.stop_flag import StopFlag
from byo_container.container.progress import say
from byo_container.container.rank import Rank
from byo_container.handlers.text_classification.hyperparameters import Hyperparameters
from byo_container.handlers.text_classification.training import metric_log
from byo_container.handlers.text_classification.training.agreement import Agreement

LOG_EVERY_S = 10.0


@dataclass
class Flow(TrainerCallback):  # type: ignore[misc]  # transformers has no types here
    """Every rank has one; what depends on a clock or a signal is agreed among the ranks after every step."""

    chosen: Hyperparameters
    rank: Rank
    stop: StopFlag
    stopped: bool = False
    """Whether training ended early because of SIGTERM."""
    _agreement: Agreement = field(init=False)
    _logged_s: float = field(init=False, default=0.0)
    _saved_s: float = field(init=False, default=0.0)
    _logged_step: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._agreement = Agreement(self.rank)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self._logged_s = self._saved_s = self._begun_s = time.monotonic()
        self._logged_step = self._first_step = state.global_step
        if state.global_step and self.rank.is_first:
            left = "" if state.global_step < state.max_steps else ", so that no step is left"
            say(f"going on after step {state.global_step} of {state.max_steps}{left}; the epochs before:")
            for text in metric_log.epoch_lines(state.log_history, state.num_train_epochs):
                say(text)
        return control

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        now, step, chosen = time.monotonic(), state.global_step, self.chosen
        stop, save, log = self._agreement.any_rank(
            self.stop.requested,
            now - self._saved_s >= 60 * chosen.save_minutes,
            now - self._logged_s >= LOG_EVERY_S or step == self._first_step + 1,
        )
        if state.epoch == int(state.epoch or 0):
            # The epoch is over: its evaluation and its checkpoint come first, whatever else is wanted.
            self.stopped = stop and step < state.max_steps
            return control
        evaluate = _is_due(step, chosen.eval_steps)
        control.should_evaluate |= evaluate
        control.should_save |= save or stop or evaluate or _is_due(step, chosen.save_steps)
        # The log history must be complete where it is saved, or where an evaluation closes a part of it.
        control.should_log |= log or control.should_save or _is_due(step, chosen.logging_steps)
        if stop:
            self.stopped = control.should_training_stop = True
        return control

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        control.should_log = True
        if self.stopped and state.epoch != int(state.epoch or 0):
            control.should_log = control.should_evaluate = control.should_save = False  # it is saved already
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        entry = state.log_history[-1]
        loss = entry.get("loss", entry.get("eval_loss"))
        if loss is not None and loss != loss:
            raise JobError(
                f"the loss is not a number any more, after step {state.global_step}; a smaller learning_rate (now "
                f"{self.chosen.learning_rate:g}) or warmup_ratio=0.1 would help"
            )
        if not self.rank.is_first:
            return
        if "eval_loss" in entry:
            history = state.log_history
            say(metric_log.epoch_line(history, len(history) - 1, state.num_train_epochs))
        elif "loss" in entry and state.epoch != int(state.epoch or 0):
            self._say_step(args, state, entry)
        self._logged_s, self._logged_step = time.monotonic(), state.global_step

    def _say_step(self, args: TrainingArguments, state: TrainerState, entry: dict[str, Any]) -> None:
        steps, seconds = state.global_step - self._logged_step, time.monotonic() - self._logged_s
        rows = steps * args.per_device_train_batch_size * args.gradient_accumulation_steps * self.rank.world_size
        values = {"batch_loss": entry["loss"], "learning_rate": entry["learning_rate"]}
        values |= {"samples_per_second": rows / seconds}
        done, taken = state.global_step - self._first_step, time.monotonic() - self._begun_s
        left = (state.max_steps - state.global_step) * taken / done
        say(metric_log.step_line(state.global_step, state.max_steps, values, left))

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """After the evaluation of an epoch, too: whether to go on."""
        self._saved_s = time.monotonic()
        name = f"eval_{self.chosen.metric_for_best_model}"
        values = [entry[name] for entry in state.log_history if name in entry]
        patience = self.chosen.early_stopping_patience
        without = metric_log.evaluations_without_gain(values, bool(args.greater_is_better))
        if patience and without >= patience and not control.should_training_stop:
            control.should_training_stop = True
            if self.rank.is_first:
                say(f"{name} has not become better in {without} evaluations: training ends (early_stopping_patience)")
        if self.stopped:
            control.should_training_stop = True
        return control


def _is_due(step: int, every: int | None) -> bool:
    return bool(every) and step % (every or 1) == 0
