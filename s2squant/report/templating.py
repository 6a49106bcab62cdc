"""Jinja templates filled, assets beside the pages or inside them, and the content security policy."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.resources
import json
from collections.abc import Iterator, Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from s2squant import __version__
from s2squant.config.models import phrase
from s2squant.report import styles
from s2squant.report.fan_cards import sort_key
from s2squant.report.formats import FILTERS, interval, known
from s2squant.report.names import market_name


def assets() -> Iterator[tuple[str, bytes]]:
    """Files that all pages of a folder share, as (relative path, content)."""
    yield "assets/report.css", _asset("report.css")
    yield "assets/report.js", _asset("report.js")
    yield "assets/plotly.min.js", _plotly()


def fill(
    template: str,
    values: Mapping[str, Any],
    *,
    root: str = "",
    single_file: bool = False,
    runs: str = "",
    drawn: bool = True,
) -> bytes:
    """A whole page; refuses a name the template was not given.

    `root` is the way back to the folder of index.html, `runs` from there to the list of all runs. A page without
    charts is not `drawn`: its single file does without plotly.
    """
    frame: dict[str, Any] = {
        "version": __version__,
        "frame": "base.html.j2",
        "root": root,
        "runs": f"{root}{runs}" if runs else "",
        "inside": None,
        "leaves": (),
    }
    frame["link"] = functools.partial(_across, root)
    frame["policy"] = "script-src 'self' file:; style-src 'self' file: 'unsafe-inline'"  # plotly writes its own styles
    if single_file:
        frame |= _inlined(drawn) | {"link": _within}
    return _templates().get_template(template).render(frame | dict(values)).encode()


def leaf(template: str, path: str, values: Mapping[str, Any]) -> Markup:
    """A further page of a single file: inert until report.js shows it."""
    frame = {"version": __version__, "frame": "leaf.html.j2", "inside": True, "path": path, "link": _within}
    return Markup(_templates().get_template(template).render(frame | dict(values)))


def _across(root: str, path: str, fragment: str = "") -> str:
    return f"{root}{path}{f'#{fragment}' if fragment else ''}"


def _within(path: str, fragment: str = "") -> str:
    return f"#/{path}{f'#{fragment}' if fragment else ''}"


@functools.cache
def _inlined(drawn: bool) -> dict[str, Any]:
    """Styles and scripts for the inside of a page, allowed by their hashes alone."""
    styles_text = _asset("report.css").decode()
    scripts = [_asset("report.js").decode(), _plotly().decode() if drawn else ""]
    if any("</script" in text.lower() for text in scripts) or "</style" in styles_text.lower():
        raise AssertionError("an asset would end the element it stands in")
    allowed = " ".join(f"'sha256-{_sha256(text)}'" for text in scripts)
    policy = f"script-src {allowed}; style-src 'unsafe-inline'"
    return {"policy": policy, "inside": {"style": Markup(styles_text), "scripts": [Markup(text) for text in scripts]}}


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> bytes:
    return importlib.resources.files("s2squant.report").joinpath("assets", name).read_bytes()


@functools.cache
def _plotly() -> bytes:
    """The bundle of plotly.js with lines, bars and heat maps: a third of the whole one that the Python package has."""
    return _asset("plotly-cartesian.min.js")


@functools.cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("s2squant.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= FILTERS
    environment.globals |= {
        "interval": interval,
        "style": styles.style,
        "phrase": phrase,
        "words": styles.WORDS,
        "marks": styles.BADGES,
        "known": known,
    }
    environment.filters |= {"market": market_name, "sort_key": sort_key}
    environment.filters["pretty"] = lambda value: json.dumps(value, indent=1, default=str, sort_keys=True)
    return environment
