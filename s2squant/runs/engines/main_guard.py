"""Scripts without `if __name__ == "__main__":`, which a worker process would run again, workers and all."""

from __future__ import annotations

import ast
import linecache
import multiprocessing
import os
import sys
from multiprocessing.spawn import get_preparation_data
from pathlib import Path

from s2squant.errors import ConfigError

UNGUARDED = 79
"""Exit status of a worker that came to where it would have started workers itself."""


def unguarded() -> ConfigError:
    """The error for a script whose workers would run it again."""
    script = getattr(sys.modules["__main__"], "__file__", "the script")
    return ConfigError(
        f'{script}: every worker process would run it again; put the call below `if __name__ == "__main__":`, '
        "or use workers=0"
    )


def leave_if_run_again() -> None:
    """End this process at once where it is a worker that is running the caller's script again."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        os._exit(UNGUARDED)


def refuse_unguarded() -> None:
    """Raise ConfigError where the running statement of the script is certain to be run again by a worker.

    It is, if it stands at the script's top level under no condition. Where one cannot be certain, the worker tells.
    """
    path = get_preparation_data("worker").get("init_main_from_path")  # none for a notebook, `-c` and most `-m`
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        module = frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "__main__"
        if path is None or not module or not _same(frame.f_code.co_filename, path):
            continue
        if _certain(path, frame.f_lineno):
            raise unguarded()
        return


def refuse_daemonic() -> None:
    """Raise ConfigError in a daemonic process, which Python lets have no children."""
    if multiprocessing.current_process().daemon:
        raise ConfigError("a daemonic process may start no workers; use workers=0, or one that is not daemonic")


def _same(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve()


def _certain(path: str, line: int) -> bool:
    """Whether the statement at a line stands under no condition, neither its own nor that of one around it."""
    try:
        statements = ast.parse("".join(linecache.getlines(path))).body
    except (ValueError, SyntaxError):
        return False
    running = next((s for s in statements if s.lineno <= line <= (s.end_lineno or s.lineno)), None)
    return running is not None and not any(isinstance(n, ast.If | ast.IfExp | ast.Match) for n in ast.walk(running))
