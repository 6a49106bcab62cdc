"""Exit statuses, and the one line on standard error that goes with each.

0 done; 2 the caller's mistake (one line, no traceback); 3 done, but some tickers have no result; 1 our own fault;
130 interrupted.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from s2squant.errors import CallerError, LedgerError

INTERRUPTED = 130
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What goes wrong with a disk, not with us."""


def complain(line: str) -> None:
    """Print one error on one line of standard error."""
    print("error: " + " ".join(line.split()), file=sys.stderr, flush=True)


def interrupted(how_to_go_on: str) -> int:
    """Print how an interrupted command goes on; its exit status."""
    print(f"interrupted; {how_to_go_on}", file=sys.stderr, flush=True)
    return INTERRUPTED


def exit_status_of(command: Callable[[], int | None], program: str) -> int:
    """Run a command; whatever it raises is its exit status and a line on standard error."""
    try:
        with _terminate_as_interrupt():
            return command() or 0
    except typer.TyperException as error:  # an unknown option, a missing value
        complain(f"{error.format_message()} ({program} --help lists what there is)")
        return 2
    except (CallerError, LedgerError) as error:
        complain(str(error))
        return error.exit_status
    except (KeyboardInterrupt, typer.Abort):  # Abort: one that no command caught
        return interrupted("nothing was written")
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            complain(f"cannot be written ({error.strerror}); see to it and run again: what is finished is kept")
            return 1
        if isinstance(error, PermissionError) and error.filename is not None:
            complain(f"{os.fsdecode(error.filename)}: {error.strerror}; see to the permissions of it and its folders")
            return 2
        traceback.print_exc()
        complain(f"a fault of s2squant, not of what was asked; look at {_place(error)}")
        return 1


def _place(error: Exception) -> str:
    """File, line and function of the innermost frame of ours."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(Path(__file__).parents[1])]
    last = (ours or frames)[-1]
    return f"{last.filename}:{last.lineno} ({last.name})"


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """SIGTERM unwinds like Ctrl-C, so that worker processes end with their parent."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
