"""The words of errors."""

from __future__ import annotations

from s2squant.errors import first_of


def test_a_list_cut_short_says_how_many_more_there_are() -> None:
    assert first_of([], 2) == ""
    assert first_of(["A", "B"], 2) == "A, B"
    assert first_of(["A", "B", "C", "D"], 2) == "A, B and 2 more"
    assert first_of(["no A", "no B", "no C"], 2, between="; ") == "no A; no B; and 1 more"
