"""s2squant pretrain SOURCE ...: fit the weights that ship with the package, from any prices."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

JUDGED_UNTIL = "2015-12-31"


def pretrain(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Prices from: sample, store:DIR, csv:DIR, parquet:DIR.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the weights go.")] = Path("data/weights"),
) -> None:
    """Fit the pretrained weights of every asset class that the sources hold, up to 2015 (judged) and to the end.

    What stands in --out and was fitted on the same prices is left as it is: a killed command goes on where it was.

    Example: s2squant pretrain csv:my_prices sample --out my_weights
    """
    from s2squant.config.experiment import Universe
    from s2squant.forecasters.pretrained import CLASSES, file_name
    from s2squant.forecasters.pretraining import about, is_of, longest
    from s2squant.forecasters.pretraining import pretrain as fit_weights
    from s2squant.prices.universe import load_universe
    from s2squant.series.states import save_state

    for judged in (True, False):
        end = JUDGED_UNTIL if judged else None
        universes = [Universe(source=source, end=end, accept=("placeholder before listing",)) for source in sources]
        loaded = [load_universe(universe) for universe in universes]
        histories = longest(h for part in loaded for h in part.histories)
        for asset_class in CLASSES:
            of_class = [h for h in histories if h.asset_class == asset_class]
            path = out / file_name(asset_class, judged=judged)
            if not of_class or is_of(path, about(asset_class, of_class, judged=judged)):
                print(f"{path}: {'as it is' if of_class else 'no prices'}")
                continue
            weights = fit_weights(asset_class, of_class, judged=judged, said=partial(print, f"{path}:"))
            save_state(path, weights.state())
            print(f"{path}: {len(of_class)} tickers, {weights.about.first} to {weights.about.last}")
