"""What the code of a commit costs and what it costs now, side by side: python benchmarks/since.py COMMIT [--python EXE]

Checks the commit out into a folder of its own, installs it with its own constraints (or takes the interpreter of an
environment that has them, and psutil), and prints one table: the backtest of the embedded sample as a user runs it, the
same of two tickers, one forecast from a loaded model, imports, and many tickers with one worker and with two. Old and
new take turns and the best of each counts. CPU seconds are of a run and all below it. Linux only.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.watching import watched

ROOT = Path(__file__).parents[1]
HELP = "import sys; sys.argv = ['s2squant', '--help']; from s2squant.cli import main; main()"
MEMORY = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)"
TWO = ("--tickers", "EURUSD,EURJPY")

Figures = Mapping[str, float]
"""By what is measured, its unit in brackets; less is better."""


@dataclass(frozen=True)
class Tree:
    """A checkout, the interpreter that runs it, and a home for what runs leave behind."""

    root: Path
    python: Path
    home: Path

    def output(self, *arguments: str) -> str:
        """What a run of the interpreter in the checkout prints; raises RuntimeError when it does not end well."""
        run = subprocess.run(
            [str(self.python), *arguments], cwd=self.root, env=self.environment, capture_output=True, text=True
        )
        if run.returncode:
            raise RuntimeError(f"{self.root}: {' '.join(arguments)}: {run.stderr.strip().splitlines()[-1:]}")
        return run.stdout

    @property
    def environment(self) -> dict[str, str]:
        """Its own package first, no trial ledger, and nothing of the caller's that decides settings or threads."""
        own = {"PYTHONPATH": str(self.root), "HOME": str(self.home), "S2SQUANT_TRIALS": ""}
        return own | {"PATH": f"{self.python.parent}:/usr/bin:/bin"}


def sample(tree: Tree, *options: str) -> Figures:
    """The flow of the embedded sample, watched from outside."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(tree.python), "flows/backtest.py", "--quiet", "--out", f"{folder}/run", *options]
        began = time.perf_counter()
        with subprocess.Popen(
            command, cwd=tree.root, env=tree.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as run:
            spent, peak = watched(run)
            seconds = time.perf_counter() - began
            said = run.stderr.read() if run.stderr else ""
        if run.returncode:
            raise RuntimeError(f"{tree.root}: {' '.join(command)}: {said.strip().splitlines()[-1:]}")
        stored = Path(folder, "run", "forecasts.parquet").stat().st_size / 1e6
    if options:
        return {"two tickers [CPU s]": spent}
    return {"wall [s]": seconds, "[CPU s]": spent, "peak [GB]": peak, "forecasts.parquet [MB]": stored}


def starts(tree: Tree) -> Figures:
    """Processor seconds of an import and of the help, and the memory after the import."""
    memory, imported = timed(tree, "-c", f"import s2squant.estimator; {MEMORY}")
    _, helped = timed(tree, "-c", HELP)
    return {
        "import s2squant.estimator [CPU s]": imported,
        "memory after it [MB]": float(memory.split()[-1]),
        "s2squant --help [CPU s]": helped,
    }


def timed(tree: Tree, *arguments: str) -> tuple[str, float]:
    """What a run prints, and its processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = tree.output(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return printed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def latency(tree: Tree) -> Figures:
    """Milliseconds of one forecast by each network, as the checkout's own benchmark prints them."""
    lines = tree.output("benchmarks/latency.py").splitlines()
    pattern = re.compile(r"(seq2seq_\w+) .*one forecast +([\d.]+)")
    rows = [row.groups() for line in lines if (row := pattern.match(line))]
    return {f"one forecast, {name} [ms]": float(value) for name, value in rows}


def many(tree: Tree, tickers: int) -> Figures:
    """A small net a ticker with one worker and with two, as the checkout's own benchmark prints them."""
    printed = tree.output(
        "benchmarks/engines.py", "--tickers", str(tickers), "--engines", "local", "--workers", "1", "2"
    )
    one, two = rows_of(printed)
    share = [1 - float(row["of it jobs"]) / float(row["wall s"]) for row in (one, two)]
    return {
        f"{tickers} tickers, one worker [CPU s]": float(one["CPU s"]),
        f"{tickers} tickers, not in jobs, one worker [% of wall]": 100 * share[0],
        f"{tickers} tickers, not in jobs, two workers [% of wall]": 100 * share[1],
        f"{tickers} tickers, jobs of two workers [% of one's wall]": 100
        * float(two["of it jobs"])
        / float(one["of it jobs"]),
        f"{tickers} tickers, two workers [GB]": float(two["peak GB"]),
    }


def rows_of(printed: str) -> list[dict[str, str]]:
    """The rows of a printed markdown table, by the names in its head."""
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in printed.splitlines() if "|" in line]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def best(turns: Sequence[Figures]) -> Figures:
    """The least of each figure."""
    return {name: min(turn[name] for turn in turns) for name in turns[0]}


def compared(measure: Callable[[Tree], Figures], trees: Sequence[Tree], turns: int) -> None:
    """Measure the trees in turns, and print a row for each figure."""
    taken = [[measure(tree) for tree in trees] for _ in range(turns)]
    then, now = (best(column) for column in zip(*taken, strict=True))
    for name in dict.fromkeys([*then, *now]):
        old, new = then.get(name), now.get(name)
        ratio = f"{new / old:.2f} x" if old and new else ""
        cells = ["" if value is None else f"{value:,.3g}" for value in (old, new)]
        print(f"| {name} | {cells[0]} | {cells[1]} | {ratio} |", flush=True)


def installed(root: Path, python: str, home: Path) -> Tree:
    """A checkout with an interpreter: the one given, or one of an environment with the checkout's own constraints."""
    if python:
        return Tree(root, Path(python).absolute(), home)
    subprocess.run([sys.executable, "-m", "venv", str(root / ".venv")], check=True)
    tree = Tree(root, root / ".venv" / "bin" / "python", home)
    tree.output("-m", "pip", "install", "--quiet", "--constraint", "constraints.txt", "--editable", ".", "psutil")
    return tree


def main() -> None:
    """Print the table as markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit")
    parser.add_argument("--python", default="", help="an interpreter with the commit's requirements and psutil")
    parser.add_argument("--tickers", type=int, default=300, help="of the run of many")
    parser.add_argument("--turns", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "then")
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(root), options.commit], check=True)
        try:
            homes = (Path(folder, "home then"), Path(folder, "home now"))
            for home in homes:
                home.mkdir()
            trees = (installed(root, options.python, homes[0]), Tree(ROOT, Path(sys.executable), homes[1]))
            print(f"| | {options.commit} | now | ratio |\n|---|---|---|---|")
            for measure in (starts, latency, sample, lambda tree: sample(tree, *TWO)):
                compared(measure, trees, options.turns)
            compared(lambda tree: many(tree, options.tickers), trees, 1)
        finally:
            subprocess.run([*git, "remove", "--force", str(root)], check=True)


if __name__ == "__main__":
    main()
