"""Size and power of the tests of VaR and expected shortfall, at 5 %, in per cent of series refused.

python benchmarks/risk_tests.py [SERIES]

Forecasts are of a standard normal. Wrong ones: VaR a fifth too near; right on average, but volatility stays for days
(GARCH) and the forecast is the same every day; and Student-t (4) outcomes of the same deviation, whose shortfall lies
deeper than the forecast says.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.special import ndtri

from s2squant.evaluation.exceedances import miss_tests
from s2squant.evaluation.statistics.expected_shortfall import GRID, shortfall_tests
from s2squant.series.arrays import Floats

SIZES, LEVELS, ALPHA = (250, 1000), (0.01, 0.05), 0.05
TESTS = ("Kupiec", "Christoffersen", "DQ", "McNeil-Frey", "Acerbi-Szekely")


def outcomes(kind: str, series: int, n: int, draws: np.random.Generator) -> Floats:
    """Series of outcomes (S, n) of deviation one."""
    match kind:
        case "tails":
            return np.asarray(draws.standard_t(4, (series, n)) / np.sqrt(2.0))
        case "volatility":
            shocks, variance = draws.standard_normal((n, series)), np.ones(series)
            made = np.empty((n, series))
            for t, shock in enumerate(shocks):
                made[t] = np.sqrt(variance) * shock
                variance = 0.05 + 0.15 * made[t] ** 2 + 0.80 * variance
            return made.T
    return draws.standard_normal((series, n))


def main() -> None:
    """Print the table."""
    series = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    print(f"| case | n | level | {' | '.join(TESTS)} |\n|---|---|---|{'---|' * len(TESTS)}")
    for kind in ("right", "near", "volatility", "tails"):
        width = 0.8 if kind == "near" else 1.0
        for n in SIZES:
            y_SN = outcomes(kind, series, n, np.random.default_rng([n, 5]))
            tail = np.broadcast_to(width * ndtri(np.array(GRID)), (n, len(GRID)))
            for level in LEVELS:
                var = tail[0, GRID.index(level)]
                spread_SN = 1.0 + 0.1 * np.abs(np.roll(y_SN, 1, axis=1))  # a width that moves, as DQ reads one
                misses = miss_tests(y_SN < var, level, spread_SN)
                depth = np.array([shortfall_tests(y_N, tail, level) for y_N in y_SN])
                ps = (misses.kupiec, misses.independence, misses.dynamic, depth[:, 0], depth[:, 1])
                refused = " | ".join(f"{100 * np.mean(np.nan_to_num(p, nan=1.0) < ALPHA):.0f}" for p in ps)
                print(f"| {kind} | {n} | {100 * level:.0f} % | {refused} |", flush=True)


if __name__ == "__main__":
    main()
