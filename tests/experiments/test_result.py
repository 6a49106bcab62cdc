"""Result: goals keep their bounds, rows become tables, and one page is laid out for every experiment."""

import pytest

from s2squant.experiments.result import Goal, Result, done_by_cost, experiment_page, flat
from s2squant.report.sections import Section


@pytest.mark.parametrize(
    ("value", "bound", "met"),
    [
        (1.0, "at most", True),
        (1.1, "at most", False),
        (1.0, "at least", True),
        (0.9, "at least", False),
        (0.9, "below", True),
        (1.0, "below", False),
        (1.1, "above", True),
        (1.0, "above", False),
        (None, "at most", False),
        (float("nan"), "at least", False),
    ],
)
def test_a_goal_keeps_its_bound(value, bound, met):
    assert Goal("g", value, bound, 1.0, "").met is met


def a_result(*goals):
    return Result("Title", "Why?", "So.", {"seeds": 2}, goals, (Section("One"),), {"loss": 1.0})


def test_the_page_asks_shows_goals_and_says_how_to_repeat_it():
    goals = (Goal("quick", 12_500, "at most", 12_000, "the literature"), Goal("right", 1.0, "at least", 0.5, ""))
    page = experiment_page(a_result(*goals), command="s2squant x", facts={"seed": 1})
    assert (page.title, page.lead, page.command, page.facts) == ("Title", "So.", "s2squant x", {"seeds": 2, "seed": 1})
    assert [section.heading for section in page.sections] == ["Question and goals", "One"]
    asked = page.sections[0]
    assert asked.paragraphs == ("Why?",)
    assert asked.takeaway == "1 of 2 goals met; missed: quick."
    assert asked.table.to_dict("records")[0] == {
        "goal": "quick",
        "value": 12_500,
        "asked": "at most 12,000",
        "outcome": "missed",
        "source": "the literature",
    }
    assert a_result(*goals).figures == {"loss": 1.0, "goals_met": {"quick": False, "right": True}}


def test_without_goals_none_are_shown():
    page = experiment_page(a_result(), command="", facts={})
    assert (page.sections[0].heading, page.sections[0].table) == ("Question", None)
    assert a_result().figures == {"loss": 1.0}


def test_rows_lose_what_nests_in_them():
    assert flat([{"a": 1, "b": {"c": 2}, "d": [3], "e": None}]).columns.tolist() == ["a", "e"]


def test_progress_counts_costs():
    heard = []
    on_done = done_by_cost(lambda what, done: heard.append((what, done)), ["long", "short"], [3.0, 1.0])
    on_done(1)
    on_done(0)
    assert heard == [("short", 0.25), ("long", 1.0)]
