"""s2squant doctor: what this machine has and lacks, with a remedy for each."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from s2squant.cli.options import AsJson
from s2squant.cli.tables import plain_console, plain_table

UNWELL = 3
"""Exit status where something that is needed is missing."""
MARKS = {"ok": "ok", "optional": "-", "wrong": "WRONG"}


def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Ask nothing over a network.")] = False,
    as_json: AsJson = False,
) -> int:
    """Look at versions, processor, folders, calendars, Yahoo and the server; a remedy for what is wrong.

    Example: s2squant doctor --offline

    Exit status: 0; 3 where something that is needed is missing.
    """
    from s2squant.cli.examination import examine

    findings = examine(offline=offline)
    wrong = [one for one in findings if one.state == "wrong"]
    if as_json:
        print(json.dumps([asdict(one) for one in findings], indent=1))
        return UNWELL if wrong else 0
    table = plain_table("", "what", "found")
    table.columns[2].no_wrap = False
    for one in findings:
        table.add_row(MARKS[one.state], one.what, one.found)
    plain_console().print(table)
    for one in findings:
        if one.remedy:
            print(f"{one.what}: {one.remedy}")
    print("all is well" if not wrong else f"{len(wrong)} of {len(findings)} wrong")
    return UNWELL if wrong else 0
