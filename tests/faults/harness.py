"""How often a fault is tried, the flips themselves, and the line that says what came of them."""

from __future__ import annotations

import os
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from s2squant.errors import S2squantError


def times(all_of_them: int, few: int) -> int:
    """`all_of_them` where S2SQUANT_FAULTS is "all", that share of them where it is a number such as 0.2, else few.

    The counts of docs/operation/promises.md are made with "all", or with shares that are said there.
    """
    asked = os.environ.get("S2SQUANT_FAULTS", "0")
    return all_of_them if asked == "all" else max(few, round(float(asked) * all_of_them))


def flips(files: list[Path], read: Callable[[Path], object], count: int) -> Counter[str]:
    """Flip bits one at a time, in files drawn at random: `read` raises S2squantError, or says the same as before.

    Half of the flips are drawn by file, half by byte: a small file is met as often as a large one.
    """
    rng, said = np.random.default_rng(0), Counter[str]()
    sizes = np.array([path.stat().st_size for path in files], float)
    wanted: dict[Path, object] = {}
    for number in range(count):
        shares = (sizes > 0) / (sizes > 0).sum() if number % 2 else sizes / sizes.sum()
        path = files[rng.choice(len(files), p=shares)]
        if path not in wanted:
            wanted[path] = read(path)
        good = path.read_bytes()
        damaged = bytearray(good)
        place = int(rng.integers(len(good)))
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            said["without effect" if read(path) == wanted[path] else f"silent: {path.name} at {place}"] += 1
        except S2squantError as error:
            said["refused" if "\n" not in str(error) else f"not one line: {error}"] += 1
        except Exception:
            said[f"traceback: {path.name} at {place}: {traceback.format_exc()[-1500:]}"] += 1
        finally:
            path.write_bytes(good)
    return said


def tell(kind: str, said: Counter[str], *good: str) -> None:
    """Print the counts of one kind; fails where anything else than what is good was said."""
    print(f"\n{kind}: {dict(said)}", flush=True)
    bad = {what: count for what, count in said.items() if what not in good}
    assert not bad, "\n".join(f"{count} x {what}" for what, count in bad.items())


OF_FLIPS = ("refused", "without effect")
