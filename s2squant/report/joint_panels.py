"""The panel of joint paths: whether tickers and steps hang together as the paths say."""

from __future__ import annotations

from s2squant.config.models import phrase
from s2squant.evaluation.joint_scores import INDEPENDENT, POOL, RIVAL
from s2squant.report.formats import count, interval, skill
from s2squant.report.panels import Panel
from s2squant.report.study_view import Contents, rows
from s2squant.report.tables import BOUNDS, COUNTS, REASON, Column, P, grid, without_blanks

AGAINST = {INDEPENDENT: "independent steps and tickers", RIVAL: "GJR-FHS on common dates"}
COLUMNS = (
    Column("pool", "Pool", "market"),
    Column("score", "Score", "text"),
    Column("against", "Against", "text"),
    Column("tickers", "Tickers", ",d"),
    Column("own", "Own", ".4f", "Lower is better"),
    Column("other", "Other’s", ".4f"),
    Column("effect", "Gain", "skill", "Share of the other’s score"),
    *BOUNDS,
    P,
    *COUNTS,
    Column("finding", "Finding", "text"),
    REASON,
)


def joint(c: Contents) -> Panel | None:
    """Energy and variogram scores of joint paths against independent ones and GJR-FHS."""
    table = c.study.joint
    if table.empty:
        return None
    pools = [str(row["pool"]) for row in rows(table)]
    first = POOL if POOL in pools else pools[0]
    told = []
    for row in rows(table, {"pool": first, "score": "variogram"}):
        gain = f"{skill(row['effect'])} {interval(row['low'], row['high'])}".strip()
        told.append(f"{gain} against {AGAINST[str(row['against'])]}")
    say = (
        f"Paths of {phrase(c.recommended)} over {count(int(table['tickers'].max()), 'ticker')} and all steps at once, "
        f"in the rank order of past outcomes: variogram score {'; '.join(told)}."
    )
    note = (
        "Variogram score (Scheuerer and Hamill 2015) and energy score (Gneiting and Raftery 2007) of steps 1, 5, 10 "
        "and the last of all tickers of a market together. The first sees dependence best; the second the marginals."
    )
    shown = table.assign(against=[AGAINST[str(other)] for other in table["against"]])
    body = grid("joint-table", "Joint paths against others", without_blanks(shown), COLUMNS)
    return Panel("joint", "Joint paths", "Do tickers and steps hang together?", say, grids=(body,), notes=(note,))
