"""A fitted estimator as a folder, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from s2squant.config.experiment import Experiment
from s2squant.errors import Finding, RunError
from s2squant.estimator.arguments import plain
from s2squant.estimator.caller_keys import Keys
from s2squant.estimator.files import read_fitted, write_fitted
from s2squant.estimator.fits import Fits
from s2squant.estimator.keywords import named
from s2squant.runs.engines.worker import as_a_worker
from s2squant.runs.folder import RunFolder
from s2squant.series.panel import Panel


class StoredForecaster(BaseEstimator):  # type: ignore[misc]
    """What `fit` leaves behind, and its folder.

    Examples
    --------
    >>> import pandas as pd
    >>> from s2squant.estimator import PriceForecaster
    >>> from s2squant.prices.sources.sample import SampleSource
    >>> euro = SampleSource().history("EURUSD")
    >>> prices = pd.DataFrame({"unique_id": "EURUSD", "ds": euro.dates, "y": euro.adj_close})
    >>> model = PriceForecaster(["random_walk", "ewma_t"], horizon=5).fit(prices)
    """

    experiment_: Experiment
    panels_: tuple[Panel, ...]
    fits_: Fits
    refused_: dict[str, str]
    keys_: Keys | None

    @named
    def save(self, path: str | Path) -> None:
        """Write the fitted estimator into a new folder: safetensors, JSON, and the bars as parquet.

        Parameters
        ----------
        path : str or Path
            A folder that is empty or does not exist.

        Raises
        ------
        RunError
            Something is there already, or it cannot be written.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/euro")
        ...     again = PriceForecaster.load(f"{folder}/euro")
        >>> again.predict().equals(model.predict())
        True
        """
        self._fitted()
        if self.keys_ is None:
            raise RunError(
                "PriceForecaster.pretrained holds nothing of its own to save; make it again where it is used"
            )
        folder, params = RunFolder(Path(path)), plain(self.get_params(deep=False))
        write_fitted(folder, params, self.experiment_, self.panels_, self.fits_, self.refused_, self.keys_)

    @classmethod
    @named
    def load(cls, path: str | Path) -> Self:
        """Read an estimator that `save` wrote: the same forecasts, bit for bit.

        Parameters
        ----------
        path : str or Path
            The folder.

        Returns
        -------
        PriceForecaster
            The fitted estimator.

        Raises
        ------
        RunError
            The folder holds none, or a damaged one.
        CheckpointError
            A model's file is damaged.

        Examples
        --------
        >>> PriceForecaster.load("nowhere")
        Traceback (most recent call last):
        s2squant.errors.RunError: nowhere: holds no forecaster.json; give a folder that PriceForecaster.save wrote
        """
        with as_a_worker():
            params, experiment, panels, fits, refused, keys = read_fitted(RunFolder(Path(path)))
        estimator = cls(**params)
        return estimator._holding(experiment, panels, fits, refused, keys)

    def _holding(
        self, experiment: Experiment, panels: Sequence[Panel], fits: Fits, refused: dict[str, str], keys: Keys | None
    ) -> Self:
        self.experiment_, self.panels_, self.fits_, self.refused_ = experiment, tuple(panels), fits, refused
        self.keys_ = keys
        self.findings_: dict[str, tuple[Finding, ...]] = {h.ticker: h.findings for p in panels for h in p.histories}
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fits_")

    def _fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError("this PriceForecaster is not fitted yet; call fit, or load one")
