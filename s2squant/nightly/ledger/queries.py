"""Shared queries: the newest row of each group, and forecasts with their newest outcomes."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Subquery, and_, func, select, true, type_coerce
from sqlalchemy.types import NullType

from s2squant.nightly.ledger.tables import CORRECTIONS, FORECASTS, OUTCOMES

FIGURES = ("y", "crps", "pit", "scored_at", "prices_at")


EVERY: ColumnElement[bool] = true()


def ranking(
    *columns: ColumnElement[Any],
    by: Collection[ColumnElement[Any]],
    newest: Collection[ColumnElement[Any]],
    where: ColumnElement[bool] = EVERY,
) -> Subquery:
    """The columns and `place`: 1 for the newest row of each group, among the rows `where` something holds."""
    order = func.row_number().over(partition_by=by, order_by=[column.desc() for column in newest])
    return select(*columns, order.label("place")).where(where).subquery()


def with_outcomes(known_by: datetime | None = None) -> tuple[FromClause, dict[str, ColumnElement[Any]]]:
    """Every forecast beside what is known of it, and the columns of that: FIGURES (NULL: nothing yet) and `correction`.

    `correction` is the number of the correction that was read, 0 for the outcome as first entered. With `known_by` (a
    moment with its zone) all is as it was known then.
    """
    in_time = corrected = EVERY
    if known_by is not None:
        in_time, corrected = OUTCOMES.c.scored_at <= known_by, CORRECTIONS.c.scored_at <= known_by
    number, forecast = CORRECTIONS.c.number, CORRECTIONS.c.forecast_id
    ranked = ranking(*CORRECTIONS.c, by=(forecast,), newest=(number,), where=corrected)
    newest = select(ranked).where(ranked.c.place == 1).subquery("newest")
    joined = FORECASTS.outerjoin(OUTCOMES, and_(OUTCOMES.c.forecast_id == FORECASTS.c.id, in_time)).outerjoin(
        newest, newest.c.forecast_id == FORECASTS.c.id
    )
    columns: dict[str, ColumnElement[Any]] = {
        name: type_coerce(func.coalesce(newest.c[name], OUTCOMES.c[name]), NullType()) for name in FIGURES
    }
    return joined, columns | {"correction": func.coalesce(newest.c.number, 0)}
