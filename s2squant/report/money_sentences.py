"""The sentences about money: what a rule made beyond holding, and whether its forecasts earn it the credit."""

from __future__ import annotations

from s2squant.config.models import phrase, subject
from s2squant.evaluation.strategy.performance import rule_word
from s2squant.evaluation.strategy.positions import BUY_AND_HOLD, EQUAL_VOLATILITY, RANDOM_WALK_SIGN
from s2squant.report.formats import THIN, count, interval, known, number, percent, probability
from s2squant.report.names import pool_name
from s2squant.report.study_view import POOL, Contents, Row, rows

BESIDE = {
    BUY_AND_HOLD: "holding",
    EQUAL_VOLATILITY: "holding at an equal volatility",
    RANDOM_WALK_SIGN: "a random walk’s sign",
}

RULES = {"median_over_es": "median over ES", "cvar_limit": "CVaR limit"}


def pools(c: Contents) -> list[str]:
    """Names of the pools whose money is told: all tickers, or each market where there are several."""
    return [name for name in c.split["equity"] if name not in c.tickers]


def declared(c: Contents, unique_id: str) -> dict[str, Row]:
    """Performance at the declared cost of one ticker or pool, by model."""
    return {str(r["model"]): r for r in reversed(c.rows("performance", unique_id)) if r.get("declared", True)}


def skill_word(c: Contents, unique_id: str) -> str:
    """Word of the verdict on the forecasts of a ticker; of a pool the run's, and its market's own where it has one."""
    if unique_id in c.tickers:
        own = c.rows("by_ticker", unique_id, {"model": c.recommended})
        return next((str(row["word"]) for row in own), "no evidence")
    asked = {"step": "all", "benchmark": c.reference, "challenger": c.recommended}
    of_market = [r for r in rows(c.study.verdicts, asked) if unique_id.split(" ")[0] == str(r["pool"]) != POOL]
    return next((str(r["word"]) for r in of_market if c.study.word == "better"), str(c.study.word))


def word(c: Contents, unique_id: str) -> str:
    """Badge of the rule on a ticker or pool; empty where it was not compared with holding."""
    row = declared(c, unique_id).get(c.recommended)
    if row is None or not known(row.get("beyond_low")):
        return ""
    return rule_word(row["beyond_low"], row["beyond_high"], skill_word(c, unique_id))


def money(c: Contents, unique_id: str) -> str:
    """Return of the rule beyond holding, with its interval and what it was beside; for POOL one sentence a pool."""
    if unique_id == POOL:
        return " ".join(filter(None, (_told(c, name) for name in pools(c))))
    return _told(c, unique_id)


def _told(c: Contents, unique_id: str) -> str:
    table = declared(c, unique_id)
    row = table.get(c.recommended)
    if row is None or not known(row.get("beyond")):
        return ""
    spec = c.study.experiment.strategy
    where_and_when = f"{row['first']} to {row['last']}"
    if unique_id not in c.tickers and unique_id != POOL:
        where_and_when = f"{pool_name(unique_id)}, {where_and_when}"
    size, more = row["beyond"], "more" if row["beyond"] >= 0 else "less"
    cost, rule = (
        f"{number(spec.cost_bp, 1).removesuffix('.0')}{THIN}bp",
        RULES.get(spec.rule, spec.rule.replace("_", " ")),
    )
    text = (
        f"{where_and_when}: after {cost} the {rule} "
        f"rule on {phrase(c.recommended)} made {percent(abs(size), 1)} a year {more} than holding"
    )
    if known(row["beyond_low"]):
        text += f" {interval(row['beyond_low'], row['beyond_high'], 1)}"
    text += f"; it was long {share(row['long'])} of the time."
    others = [(name, r) for name in BESIDE if (r := table.get(name)) is not None]
    if others:
        each = [f"{BESIDE[name]} {percent(r['annual_return'], 1, True)}" for name, r in others]
        text += f" Compounded, the rule made {percent(row['annual_return'], 1, True)} a year, {_listed(each)}."
    return text + _credit(c, unique_id, row)


def _credit(c: Contents, unique_id: str, row: Row) -> str:
    low, high = row["beyond_low"], row["beyond_high"]
    if not known(low):
        return " Too few bars for an interval."
    if low <= 0 <= high:
        return " The interval holds zero: the data cannot tell the rule from holding."
    if low > 0 and word(c, unique_id) != "better":
        return " Its forecasts show no skill here, so this is luck or another exposure, no evidence for the rule."
    if low > 0 and known(row.get("break_even_bp")):
        return f" It makes what holding makes at {number(row['break_even_bp'], 1)}{THIN}bp."
    return ""


def ratios(c: Contents, unique_id: str) -> str:
    """Sharpe ratio of the rule beside holding's, and its probability after all trials."""
    table = declared(c, unique_id)
    row, held = table.get(c.recommended), table.get(BUY_AND_HOLD)
    if row is None or not known(row.get("sharpe")):
        return ""
    text = f"{subject(c.recommended)} has a Sharpe ratio of {sharpe(row)}"
    if held is not None and known(held.get("sharpe")):
        text += f", holding {sharpe(held)}"
    if known(row.get("dsr")):
        text += f"; after {count(int(row['trials']), 'trial')} it is above zero with probability "
        text += f"{probability(row['dsr'])} (deflated)"
    return text + "."


def sharpe(row: Row) -> str:
    """Sharpe ratio with its interval."""
    value, low, high = (row.get(name) for name in ("sharpe", "sharpe_low", "sharpe_high"))
    if not known(value):
        return ""
    ends = f" [{number(low, 2, True)}, {number(high, 2, True)}]" if known(low) and known(high) else ""
    return number(value, 2, True) + ends


def share(value: float) -> str:
    """A share of the time: 100 % only where it is all of it."""
    return percent(value, 0) if value in (0, 1) else percent(min(max(value, 0.01), 0.99), 0)


def _listed(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
