"""A command line in a process of its own, to be killed; it begins at once, as what is heavy is there already."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.worlds.processes import forkserver


def begin(folder: Path, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> BaseProcess:
    """The process of `s2squant ARGUMENTS`, started in a folder; what it says is in its commands.log."""
    context = forkserver("s2squant.study", "s2squant.cli.app", "tests.worlds.commands", "tests.worlds.night_process")
    process = context.Process(target=_carry_out, args=(str(folder), list(arguments), dict(environment or {})))
    process.start()
    return process


def _carry_out(folder: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    from s2squant.cli.app import main

    os.environ.update(environment)
    os.chdir(folder)
    log = os.open("commands.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.exit(main(arguments))
