"""What the server that local workers are forked from imports, once for all of them; nothing else imports this module.

A process with one thread may be forked safely, so libraries start none here. Linux only.
"""

import atexit
import ctypes
import gc
import os
import signal

from s2squant.runs.engines.worker import SERVED, THREADS

PR_SET_PDEATHSIG = 1
"""The name in the kernel's prctl.h: the signal that a process gets when the thread that started it has ended."""


def _when_parent_ends(sent: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, sent, 0, 0, 0)


_when_parent_ends(signal.SIGKILL)  # until the server looks for its parent itself: imports take seconds
if os.environ.pop(SERVED, str(os.getppid())) != str(os.getppid()):  # it ended before
    os._exit(1)
os.environ.update(dict.fromkeys(THREADS, "1"), JE_ARROW_MALLOC_CONF="background_thread:false")
import arch  # noqa: E402, F401
import sklearn.linear_model  # noqa: E402, F401
import torch  # noqa: E402, F401

import s2squant.runs.jobs  # noqa: E402, F401

gc.freeze()  # a collection in a worker leaves the pages that all share as they are
atexit.register(os._exit, 0)  # what was imported need not be taken down piece by piece
_when_parent_ends(0)
