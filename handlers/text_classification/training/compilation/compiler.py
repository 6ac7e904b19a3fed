"""The compiler in a training: it watches the Trainer's passes, compiles where that may pay, and undoes it where not.

The first passes are eager, and are measured; they train like all others. Then the encoder's layer is compiled by a
trial with the next batch, whose gradients are thrown away: what may fail fails there, and the training goes on eagerly.
The passes after it are measured in turn. All ranks decide alike, and after the same number of passes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from byo_container.container.hardware import missing_compiler, this_hardware
from byo_container.container.log import log
from byo_container.container.progress import say
from byo_container.container.rank import Rank
from byo_container.handlers.text_classification.training.agreement import Agreement
from byo_container.handlers.text_classification.training.compilation import (
    cache,
    decision,
    measuring,
    memory,
    torch_compile,
)
from byo_container.handlers.text_classification.training.compilation.decision import Setting
from byo_container.handlers.text_classification.training.compilation.measuring import Account, Shape, Steps
from byo_container.handlers.text_classification.training.task import Task

WARM_UP = 2
"""The first passes, which take longer than those after them."""
NOTHING = torch_compile.Counters()
LOCAL_CACHE = "TORCHINDUCTOR_CACHE_DIR"


@dataclass
class Compiler:
    """One rank's. `cache_file` lies beside the checkpoints, and `cache_key` says what it has to be for."""

    setting: Setting
    rank: Rank
    has_gpu: bool
    cache_file: Path
    cache_key: str
    _eager: Steps = field(default_factory=Steps)
    _compiled: Steps = field(default_factory=Steps)
    _phase: Callable[..., Any] = field(init=False)
    _state: str = "eager: the training ended before it was measured"
    _layers: list[Any] = field(default_factory=list)
    _compiling_s: float = 0.0
    _rows: int = 0
    _passes: int = 0
    _trial: torch_compile.Counters = NOTHING
    _before: torch_compile.Counters = NOTHING
    _eager_peak: int | None = None
    _compiled_peak: int | None = None
    _last_said: str = ""

    @classmethod
    def of(cls, task: Task) -> Self:
        """That of a job."""
        hardware = this_hardware()
        key = cache.key(task.run, task.precision.name, hardware.cpu_flags, hardware.gpu)
        file = task.job.checkpoint_dir / cache.FILE
        return cls(task.chosen.compile, task.rank, task.has_gpu, file, key)

    def __post_init__(self) -> None:
        start = decision.at_start(self.setting, self.has_gpu)
        missing = missing_compiler(self.has_gpu) if start.compiled else None
        self._phase = self._measure_eager
        if not start.compiled:
            self._stay_eager(start.why)
        self._agreement = Agreement(self.rank)
        if start.compiled and self._agreement.any_rank(missing is not None)[0]:
            self._stay_eager(missing or "another rank has no compiler", warn=True)
        self._begun_s = time.monotonic()

    def run(self, trainer: Any, model: Any, inputs: dict[str, Any], step: Callable[[], Any]) -> Any:
        """One pass forward and backward, by `step`. `inputs` is its batch, `model` what the Trainer trains."""
        return self._phase(trainer, model, inputs, step)

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """An evaluation is eager."""
        with torch_compile.eager() if self._layers else contextlib.nullcontext():
            yield

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """The training is inside; after it the model is eager, and the log has the account."""
        with _local_cache():
            yield
            if self._layers:
                torch_compile.disable(self._layers)
                if self.account().recompiles:
                    self._save_cache()
                self._say(measuring.line(self.account()))

    def account(self) -> Account:
        """What compiling has cost and gained so far."""
        since = torch_compile.counters() - self._before if self._trial.graphs else torch_compile.Counters()
        return Account(
            state=self._state,
            compiling_s=self._compiling_s,
            graphs=self._trial.graphs,
            recompiles=since.graphs - self._trial.graphs,
            cache_hits=since.cache_hits,
            comparison=measuring.compare(self._eager, self._compiled),
            rows=self._rows,
            eager_peak_bytes=self._eager_peak,
            compiled_peak_bytes=self._compiled_peak,
            memory="GPU memory" if self.has_gpu else "memory",
        )

    # One method for each phase; each sets the next one.

    def _measure_eager(self, trainer: Any, model: Any, inputs: dict[str, Any], step: Callable[[], Any]) -> Any:
        self._passes += 1
        if self._passes == WARM_UP:
            memory.reset(self.has_gpu)
        loss, seconds = self._timed(step)
        if self._passes > WARM_UP:
            self._eager.add(_shape(inputs), seconds)
        if self._eager.count >= decision.EAGER_PASSES:
            self._eager_peak = memory.peak_bytes(self.has_gpu)
            self._decide_to_compile(trainer)
        return loss

    def _decide_to_compile(self, trainer: Any) -> None:
        a_pass = (time.monotonic() - self._begun_s) / self._passes
        left = (trainer.state.max_steps - trainer.state.global_step) * trainer.args.gradient_accumulation_steps
        found = decision.after_eager(self.setting, a_pass * left)
        if self._agreement.any_rank(not found.compiled)[0]:
            self._stay_eager(found.why)
        else:
            self._say(f"compiling: {found.why}")
            self._phase = self._compile

    def _compile(self, trainer: Any, model: Any, inputs: dict[str, Any], step: Callable[[], Any]) -> Any:
        inner = trainer.accelerator.unwrap_model(model)
        self._layers = torch_compile.repeated_layers(inner)
        self._before, begun = torch_compile.counters(), time.monotonic()
        self._load_cache()
        failure = None
        try:
            torch_compile.enable(self._layers)
            _try(trainer, inner, inputs)
        except Exception as error:  # a compiler of another language fails in whatever way
            failure = torch_compile.reason(error)
        self._compiling_s = time.monotonic() - begun
        if self._agreement.any_rank(failure is not None)[0]:
            self._back_to_eager(f"compiling failed: {failure or 'on another rank'}", warn=True)
            return step()
        torch_compile.tolerate_failures()
        self._trial = torch_compile.counters() - self._before
        self._state, self._phase = "compiled", self._measure_compiled
        self._save_cache()
        self._say(f"compiled in {self._compiling_s:.1f} s")
        memory.reset(self.has_gpu)
        return self._measure_compiled(trainer, model, inputs, step)

    def _measure_compiled(self, trainer: Any, model: Any, inputs: dict[str, Any], step: Callable[[], Any]) -> Any:
        shape, before = _shape(inputs), torch_compile.counters()
        loss, seconds = self._timed(step)
        self._rows += shape[0]
        if torch_compile.counters().graphs > before.graphs:
            self._compiling_s += seconds
        else:
            self._compiled.add(shape, seconds)
        self._decide_to_stay(measuring.compare(self._eager, self._compiled))
        return loss

    def _decide_to_stay(self, found: measuring.Comparison | None) -> None:
        undecided = found is None or found.passes < decision.COMPILED_PASSES
        undecided, slower = self._agreement.any_rank(
            undecided, found is not None and not decision.after_compiled(self.setting, found).compiled
        )
        if undecided or found is None:
            return
        self._compiled_peak = memory.peak_bytes(self.has_gpu)
        self._say(measuring.line(self.account()))
        if slower:
            self._back_to_eager(decision.after_compiled(self.setting, found).why)
        else:
            self._phase = self._count

    def _count(self, trainer: Any, model: Any, inputs: dict[str, Any], step: Callable[[], Any]) -> Any:
        self._rows += _shape(inputs)[0]
        return step()

    def _only_step(self, trainer: Any, model: Any, inputs: dict[str, Any], step: Callable[[], Any]) -> Any:
        return step()

    # What the phases have in common

    def _stay_eager(self, why: str, warn: bool = False) -> None:
        self._state, self._phase = f"eager: {why}", self._only_step
        if warn and self.rank.is_first:
            log.warning("training goes on without torch.compile: %s", why)
        else:
            self._say(f"not compiled: {why}")

    def _back_to_eager(self, why: str, warn: bool = False) -> None:
        torch_compile.disable(self._layers)
        self._layers = []
        self._stay_eager(why, warn)

    def _timed(self, step: Callable[[], Any]) -> tuple[Any, float]:
        self._wait_for_gpu()
        begun = time.perf_counter()
        loss = step()
        self._wait_for_gpu()
        return loss, time.perf_counter() - begun

    def _wait_for_gpu(self) -> None:
        if self.has_gpu:
            import torch

            torch.cuda.synchronize()

    def _load_cache(self) -> None:
        found = cache.read(self.cache_file, self.cache_key)
        if isinstance(found, str):
            self._say(f"{self.cache_file} is not used: {found}")
        elif found is not None and not cache.load(found):
            self._say(f"{self.cache_file} is not used: PyTorch cannot read it")

    def _save_cache(self) -> None:
        if not self.rank.is_first or not (artifacts := cache.collect()):
            return
        try:
            cache.write(self.cache_file, self.cache_key, artifacts)
        except OSError as error:
            log.warning("%s cannot be written, and a restart compiles again: %s", self.cache_file, error)

    def _say(self, text: str) -> None:
        """Where the account at the end is that after the first steps, it is said once."""
        if self.rank.is_first and text != self._last_said:
            say(text)
        self._last_said = text


@contextlib.contextmanager
def _local_cache() -> Iterator[None]:
    """A folder of this process for what is compiled, removed at the end: nothing is taken from what others left in the
    folder that PyTorch would use, a well-known one in /tmp. PyTorch sets the variable itself, so that one that is set
    says nothing."""
    before = os.environ.get(LOCAL_CACHE)
    folder = os.environ[LOCAL_CACHE] = tempfile.mkdtemp(prefix="compiler-cache-")
    try:
        yield
    finally:
        del os.environ[LOCAL_CACHE]
        if before is not None:
            os.environ[LOCAL_CACHE] = before
        shutil.rmtree(folder, ignore_errors=True)


def _shape(inputs: dict[str, Any]) -> Shape:
    rows, length = inputs["input_ids"].shape
    return int(rows), int(length)


def _try(trainer: Any, model: Any, inputs: dict[str, Any]) -> None:
    """A pass forward and backward that leaves nothing behind: no gradients, and the random numbers as they were. It
    goes past DistributedDataParallel, so that a rank whose compiler fails keeps none waiting."""
    import torch

    inputs = dict(trainer._prepare_inputs(inputs))
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.train()
    with torch.random.fork_rng(), trainer.compute_loss_context_manager():
        loss = trainer.compute_loss(model, inputs)
        torch.autograd.grad(loss, parameters, allow_unused=True)
