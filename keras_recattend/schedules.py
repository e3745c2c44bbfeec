"""Learning rates, and where a stage stands."""

import math
import time

__all__ = ["Clock", "learning_rate"]


def learning_rate(stage, step, progress):
    """Return the learning rate of a `Stage` at a step, with `progress` in [0, 1].

    "staircase": `rate * decay^floor(step / period)`, the paper's. "cosine": linear
    warm-up over the first `warmup` share, then a cosine down to `rate * decay`.

    Args:
        step: of the stage's own steps, see `Clock.schedule_step`.
    """
    if stage.schedule == "staircase":
        return stage.learning_rate * stage.decay ** (step // stage.period)
    if progress < stage.warmup or stage.warmup == 1.0:
        return stage.learning_rate * max(progress / stage.warmup, 0.01)
    share = (progress - stage.warmup) / (1.0 - stage.warmup)
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))
    return stage.learning_rate * (stage.decay + (1.0 - stage.decay) * cosine)


class Clock:
    """Tells how far a stage is: by steps, or by minutes where a budget is given.

    Args:
        steps: of the stage.
        minutes: budget; None = by steps. Time before a resume counts.
        max_steps: end the stage after so many steps in any case, None = no such end.
        step, elapsed: where a resumed stage goes on; elapsed in seconds.
    """

    def __init__(self, steps, minutes=None, max_steps=None, step=0, elapsed=0.0):
        self.own_steps = steps
        self.steps = steps if max_steps is None else min(steps, max_steps)
        self.max_steps = max_steps
        self.minutes = minutes
        self.step = step
        self._elapsed = elapsed
        self._since = time.monotonic()

    @property
    def elapsed(self):
        """Seconds spent in this stage, before and after a resume."""
        return self._elapsed + time.monotonic() - self._since

    @property
    def progress(self):
        """Share of the stage that is done, in [0, 1]."""
        if self.minutes is None:
            return min(1.0, self.step / self.steps)
        if self.max_steps is not None and self.step >= self.max_steps:
            return 1.0
        return min(1.0, self.elapsed / (60.0 * self.minutes))

    @property
    def schedule_step(self):
        """Which of the stage's own steps this one stands for.

        Schedules that count steps were made for the stage's own number of them. Under a
        budget they are run through in its time: `progress` times that number.
        """
        if self.minutes is None:
            # Not by `progress`, which is rounded: without a budget it is the step.
            return self.step * self.own_steps / self.steps
        return self.progress * self.own_steps

    @property
    def done(self):
        return self.progress >= 1.0

    def agree(self, stop=False):
        """Return whether to stop: where several machines train, one of them may ask.

        `workers.SharedClock` agrees on the progress as well.
        """
        return stop
