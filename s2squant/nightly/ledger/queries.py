"""What became of forecasts, as queries read it: the outcome as first entered, or the newest correction of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, func, select, true, type_coerce
from sqlalchemy.types import NullType

from s2squant.nightly.ledger.tables import CORRECTIONS, FORECASTS, OUTCOMES

FIGURES = ("y", "crps", "pit", "scored_at", "prices_at")


def with_outcomes(known_by: datetime | None = None) -> tuple[FromClause, dict[str, ColumnElement[Any]]]:
    """Every forecast beside what is known of it, and the columns of that: FIGURES (NULL: nothing yet) and `correction`.

    `correction` is the number of the correction that was read, 0 for the outcome as first entered. With `known_by` (a
    moment with its zone) all is as it was known then.
    """
    order = func.row_number().over(partition_by=CORRECTIONS.c.forecast_id, order_by=CORRECTIONS.c.number.desc())
    numbered = select(CORRECTIONS, order.label("place"))
    in_time: ColumnElement[bool] = true()
    if known_by is not None:
        numbered = numbered.where(CORRECTIONS.c.scored_at <= known_by)
        in_time = OUTCOMES.c.scored_at <= known_by
    ranked = numbered.subquery()
    newest = select(ranked).where(ranked.c.place == 1).subquery("newest")
    joined = FORECASTS.outerjoin(OUTCOMES, and_(OUTCOMES.c.forecast_id == FORECASTS.c.id, in_time)).outerjoin(
        newest, newest.c.forecast_id == FORECASTS.c.id
    )
    columns: dict[str, ColumnElement[Any]] = {
        name: type_coerce(func.coalesce(newest.c[name], OUTCOMES.c[name]), NullType()) for name in FIGURES
    }
    return joined, columns | {"correction": func.coalesce(newest.c.number, 0)}
