"""Station 7: a study laid out as HTML that opens from a folder, without a network; it computes nothing."""

from s2squant.report.experiments import render_experiment
from s2squant.report.night_page import render_night
from s2squant.report.pages import render
from s2squant.report.slugs import slug

__all__ = ["render", "render_experiment", "render_night", "slug"]
