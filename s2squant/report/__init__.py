"""A study laid out as HTML that opens from a folder, without a network; it computes nothing."""

from s2squant.report.experiment_page import render_experiment
from s2squant.report.slugs import slug
from s2squant.report.study_pages import render

__all__ = ["render", "render_experiment", "slug"]
