"""Prices into the store as one Prefect flow: `python flows/ingest.py` takes the options of `s2squant fetch`.

One flow a run, one task a ticker. Its threads wait their turn at the source, so Prefect neither retries nor limits the
rate: both are done in the library, where a 429 quiets all of them. Some tickers failed: Completed, as PartiallyFailed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from flows.environment import prefect_settings

os.environ.update(prefect_settings(by_hand=__name__ == "__main__"))

from prefect import State, flow, get_run_logger, unmapped
from prefect.artifacts import create_table_artifact
from prefect.futures import as_completed
from prefect.states import Completed, Failed

from flows.by_hand import lent
from flows.runners import waiting_threads
from flows.tasks import fetch
from s2squant import cli
from s2squant.cli.commands.fetch import outcome
from s2squant.config.experiment import Universe
from s2squant.config.fetching import Fetching
from s2squant.errors import CallerError, first_of
from s2squant.prices.fetch import FetchRequest, open_refresher
from s2squant.prices.store.refresh import Update

DEFAULTS = Fetching()
STORE = str(Universe().store)
_hand: ContextVar[Callable[[Update], None] | None] = ContextVar("hand", default=None)


@flow(task_runner=waiting_threads(DEFAULTS.together), persist_result=False)
def ingest(
    tickers: list[str] | None = None,
    source: str = "yfinance",
    start: date | None = None,
    interval: str = "1d",
    store: str = STORE,
    anew: bool = False,
    per_second: Annotated[float, Field(gt=0)] = DEFAULTS.per_second,
    together: Annotated[int, Field(ge=1)] = DEFAULTS.together,
) -> State[dict[str, Any]]:
    """Fetch prices into the store: what is missing, and a little before it to see what was revised.

    Args:
        tickers: Which; left out, the source's default universe.
        source: yfinance, sample, csv:DIR or parquet:DIR.
        start: First day of a ticker that is not stored yet; all there is if left out.
        interval: 1d, or 1h, 30m, 15m, 5m, 2m, 1m as far back as Yahoo goes.
        store: The price store's folder.
        anew: Fetch everything again and take it, even where it contradicts the store.
        per_second: Requests a second, at most.
        together: Requests under way at once.
    """
    log, tell = get_run_logger(), _hand.get()
    request = FetchRequest(
        tickers=tuple(tickers or ()),
        store=Path(store),
        source=source,
        interval=interval,
        start=start,
        anew=anew,
        spec=Fetching(together=together, per_second=per_second),
    )
    try:
        refresher, names = open_refresher(request)
        futures = fetch.map(
            unmapped(refresher.update), list(names), unmapped(interval), unmapped(start), unmapped(anew)
        )
        updates: list[Update] = []
        try:
            for future in as_completed(futures):
                update = future.result()
                updates.append(update)
                if tell is not None:
                    tell(update)
                reason = update.error.reason if update.error else ""
                log.info("%s %s, %d new bars %s", update.ticker, update.status, update.added, reason)
        except BaseException:
            refresher.source.stop()
            raise
    except CallerError as error:
        return Failed(message=str(error), data=error)
    outcomes = {update.ticker: outcome(update) for update in updates}
    rows = [{"ticker": t, **{k: v for k, v in o.items() if k not in ("changes", "notes")}} for t, o in outcomes.items()]
    create_table_artifact(key="prices", table=rows, description=store)
    failed = sorted(update.ticker for update in updates if update.error)
    message = f"{len(outcomes) - len(failed)} of {len(outcomes)} tickers are up to date" + (
        f"; failed: {first_of(failed, 20)}" if failed else ""
    )
    return Completed(name="PartiallyFailed" if failed else "Completed", message=message, data=outcomes)


def under_prefect(request: FetchRequest, on_done: Callable[[Update], None]) -> None:
    """The command line's FetchRunner: the flow in this process; raises what the flow raised."""
    chosen = ingest.with_options(task_runner=waiting_threads(request.spec.together))
    with lent(_hand, on_done):
        chosen(
            list(request.tickers),
            request.source,
            request.start,
            request.interval,
            str(request.store),
            request.anew,
            request.spec.per_second,
            request.spec.together,
            return_state=True,
        ).result()


if __name__ == "__main__":
    sys.exit(cli.fetch_main(fetching=under_prefect, program="python flows/ingest.py"))
