"""The exceptions as the docstring draws them, and the words of errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from s2squant import errors
from s2squant.errors import S2squantError, first_of


def drawn() -> list[tuple[int, str]]:
    """Depth and name of every exception in the docstring's tree."""
    lines = re.findall(r"^([│├└─ ]*)([A-Z]\w+Error)\b", errors.__doc__ or "", flags=re.MULTILINE)
    return [(len(branch) // 4, name) for branch, name in lines]


def defined(kind: type[Exception] = S2squantError, depth: int = 0) -> Iterator[tuple[int, str]]:
    """The same of the exceptions as they are, in the order of their definitions."""
    yield depth, kind.__name__
    for below in kind.__subclasses__():
        if below.__module__.startswith("s2squant."):  # flows/ and tests may have their own
            yield from defined(below, depth + 1)


def test_the_tree_is_drawn_as_it_is() -> None:
    assert drawn() == list(defined())


def test_every_exception_of_the_package_is_in_the_tree() -> None:
    names = "|".join(name for _, name in drawn())
    files = Path(errors.__file__).parent.rglob("*.py")
    definitions = re.compile(rf"^ *class \w+\(.*\b({names})\b", re.MULTILINE)
    assert [path.name for path in files if definitions.search(path.read_text(encoding="utf-8"))] == ["errors.py"]


def test_a_list_cut_short_says_how_many_more_there_are() -> None:
    assert first_of([], 2) == ""
    assert first_of(["A", "B"], 2) == "A, B"
    assert first_of(["A", "B", "C", "D"], 2) == "A, B and 2 more"
    assert first_of(["no A", "no B", "no C"], 2, between="; ") == "no A; no B; and 1 more"
