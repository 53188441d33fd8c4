"""What a person sees while a model is trained: one bar, one Chinese line an epoch."""

from __future__ import annotations

from typing import Any

import transformers
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback


def quiet_libraries() -> None:
    """Silence the English bars and load reports of the libraries underneath."""
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def new_bar() -> Progress:
    """A bar with the time left on standard error, gone when done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("还要"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


class TrainingProgress(TrainerCallback):
    """A bar of the training steps, within ``with progress.bar:``.

    So it also ends, and gives the cursor back, where training does not end well.
    """

    def __init__(self) -> None:
        self.bar = new_bar()
        self.task = self.bar.add_task("训练")

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.update(self.task, total=state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.update(self.task, completed=state.global_step)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any
    ) -> None:
        if metrics and not self.bar.finished:
            accuracy = metrics.get("eval_accuracy", float("nan"))
            self.bar.console.print(f"第 {state.epoch:.0f} 遍：验证集准确率 {accuracy:.3f}")
