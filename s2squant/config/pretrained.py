"""Settings of the pretrained weights."""

from __future__ import annotations

from pydantic import Field

from s2squant.config.part import Part


class PretrainedSpec(Part):
    """The shipped weights, used as they are; which prices they were trained on: docs/weights.md."""

    judged: bool = Field(False, description="use the weights whose training ends in 2015, for backtests from 2016 on")
