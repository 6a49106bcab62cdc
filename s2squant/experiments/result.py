"""Result of an experiment: question, settings, goals, sections, conclusion and figures, and the page they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from s2squant.report.sections import ExperimentPage, Section
from s2squant.series.arrays import Floats

Progress = Callable[[str, float], None]
"""Called with what is under way and the share of the whole experiment that is done, 0 to 1."""


def done_by_cost(progress: Progress, labels: Sequence[str], costs: Sequence[float]) -> Callable[[int], None]:
    """A callback that hears the places of finished jobs and reports the share of all costs that they make up."""
    done: list[float] = []

    def on_done(place: int) -> None:
        done.append(costs[place])
        progress(labels[place], min(1.0, sum(done) / sum(costs)))

    return on_done


@dataclass(frozen=True)
class Goal:
    """A figure and the bound it should keep; `value` is None where the run never came to one."""

    name: str
    value: float | None
    bound: Literal["at most", "at least", "below", "above"]
    limit: float
    source: str
    """Where the limit comes from."""

    @property
    def met(self) -> bool:
        """Whether the value keeps the bound; one without a value does not."""
        if self.value is None:
            return False
        match self.bound:
            case "at most":
                return self.value <= self.limit
            case "at least":
                return self.value >= self.limit
            case "below":
                return self.value < self.limit
            case "above":
                return self.value > self.limit


@dataclass(frozen=True)
class Result:
    """What an experiment came to. `numbers` are plain values for result.json; `conclusion` is computed from them."""

    title: str
    question: str
    conclusion: str
    settings: Mapping[str, Any]
    goals: tuple[Goal, ...]
    sections: tuple[Section, ...]
    numbers: Mapping[str, Any]

    @property
    def figures(self) -> dict[str, Any]:
        """The numbers and, by name, whether each goal was met."""
        goals = {goal.name: bool(goal.met) for goal in self.goals}
        return {**self.numbers, "goals_met": goals} if goals else dict(self.numbers)


def flat(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of result.json as the table of a section: what nests in them is left out."""
    return pd.DataFrame([{k: v for k, v in row.items() if not isinstance(v, Mapping | list)} for row in rows])


def counted(values: ArrayLike) -> tuple[Floats, Floats]:
    """A line's values (N,) over 1 to N."""
    y_N = np.asarray(values, dtype=float)
    return np.arange(1.0, len(y_N) + 1), y_N


def experiment_page(result: Result, *, command: str, facts: Mapping[str, Any]) -> ExperimentPage:
    """The page of any result: conclusion, question and goals, its sections, and how to repeat it."""
    sections = (_asked(result), *result.sections)
    return ExperimentPage(result.title, result.conclusion, sections, command, {**result.settings, **facts})


def _asked(result: Result) -> Section:
    if not result.goals:
        return Section("Question", paragraphs=(result.question,))
    missed = [goal.name for goal in result.goals if not goal.met]
    rows = [
        {
            "goal": goal.name,
            "value": goal.value,
            "asked": f"{goal.bound} {goal.limit:,.5g}",
            "outcome": "met" if goal.met else "missed",
            "source": goal.source,
        }
        for goal in result.goals
    ]
    reached = f"{len(rows) - len(missed)} of {len(rows)} goals met"
    takeaway = f"{reached}; missed: {'; '.join(missed)}." if missed else f"{reached}."
    return Section("Question and goals", takeaway, (result.question,), pd.DataFrame(rows))
