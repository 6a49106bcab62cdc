import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from s2squant.report.experiment_page import render_experiment
from s2squant.report.heatmaps import attention_heatmap
from s2squant.report.sections import ExperimentPage, Heatmap, Lines, Section

HOSTILE = "</script><img src=x onerror=alert(1)>"
X = np.arange(1, 6)


def make_page() -> ExperimentPage:
    table = pd.DataFrame({"model": ["blend", HOSTILE], "skill": [0.0123, np.nan], "n": [1200, 7], "why": ["", None]})
    lines = Lines("Error", "Length", "Error", {HOSTILE: (X, X / 5.0), "plain": (X, [1, np.nan, 3, 4, 5])}, log_y=True)
    days = np.datetime64("2024-01-01") + X
    dated = Lines("In time", "", "Loss", {"anchor": (days, X)}, bands={"anchor": (X - 1, X + 1)}, caption="A caption")
    points = Lines("Points", "Task", "Right", {"a": (["copy", "sort", "add", "mul", "div"], X)}, markers=True)
    weights = Heatmap("Weights", tuple("abcde"), ("A", HOSTILE), np.outer([1, -1], X), form=".2f")
    sections = (
        Section(HOSTILE, f"It says {HOSTILE}.", (HOSTILE, "Two."), table, {"skill": "Skill"}, {"skill": "+.1%"}, "All"),
        Section("Lines", lines=(lines, dated, points)),
        Section("Where it looks", "Ahead.", heatmap=weights),
        Section("Nothing", heatmap=Heatmap("Empty", ("a",), ("b",), [[np.nan]])),
    )
    return ExperimentPage(f"Copying {HOSTILE}", "It copies -3 % better.", sections, "s2squant x", {"seed": 1, "v": {}})


def figures(text: str) -> dict[str, dict]:
    found = re.findall(r'<script type="application/json" id="figure-([^"]+)">(.*?)</script>', text)
    return {name: json.loads(spec) for name, spec in found}


def as_colours(value):
    if isinstance(value, dict):
        return {k: as_colours(v) for k, v in value.items()}
    if isinstance(value, list):
        return [as_colours(v) for v in value]
    return "#000000" if isinstance(value, str) and value.startswith("@") else value


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_a_page_and_its_assets():
    files = dict(render_experiment(make_page()))
    assert set(files) == {"index.html", "assets/report.css", "assets/report.js", "assets/plotly.min.js"}
    assert dict(render_experiment(make_page())) == files


def test_a_single_file_holds_everything_and_names_its_scripts():
    files = dict(render_experiment(make_page(), single_file=True))
    assert set(files) == {"index.html"}
    text = files["index.html"].decode()
    tags = Tags(text).found
    assert not [t for t, given in tags if given.get("src") or (t == "link" and given.get("href") != "data:,")]
    assert text.count("&#39;sha256-") == 2
    assert "script-src &#39;self" not in text


def test_text_stays_text_and_figures_are_valid():
    text = dict(render_experiment(make_page()))["index.html"].decode()
    tags = Tags(text).found
    assert "img" not in {tag for tag, _ in tags}
    assert not [name for _, given in tags for name in given if name.startswith("on")]
    drawn = figures(text)
    assert len(drawn) == 4
    for spec in drawn.values():
        spec = as_colours(spec)
        go.Figure(data=spec["data"], layout=spec["layout"])
    assert "Not computed: no value of it is known." in text


def test_numbers_follow_their_formats():
    text = dict(render_experiment(make_page()))["index.html"].decode()
    assert "+1.2\N{NARROW NO-BREAK SPACE}%" in text
    assert ">1,200<" in text
    assert '<th scope="col" class="n">Skill</th>' in text
    assert "It copies −3" in text
    assert '<th scope="row">blend</th>' in text


def test_a_line_shows_its_values_and_its_band():
    drawn = figures(dict(render_experiment(make_page()))["index.html"].decode())
    gap = drawn["s2-1"]["data"][1]
    assert gap["y"] == [1, None, 3, 4, 5]
    assert drawn["s2-1"]["layout"]["yaxis"]["type"] == "log"
    around, line = drawn["s2-2"]["data"]
    assert line["x"][0] == "2024-01-02"
    assert around["y"] == [2, 3, 4, 5, 6, 4, 3, 2, 1, 0]
    assert drawn["s2-3"]["data"][0]["mode"] == "markers"
    assert drawn["s3-map"]["data"][0]["z"] == [[1, 2, 3, 4, 5], [-1, -2, -3, -4, -5]]
    assert drawn["s3-map"]["data"][0]["zmid"] == 0


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="line 'a'"):
        Lines("t", "x", "y", {"a": ([1, 2], [1])})
    with pytest.raises(ValueError, match="no line"):
        Lines("t", "x", "y", {"a": ([1], [1])}, bands={"b": ([1], [1])})
    with pytest.raises(ValueError, match="2 columns"):
        Heatmap("t", ("a", "b"), ("c",), [[1.0]])


def test_attention_counts_bars_back_from_the_cutoff():
    weights_HW = np.full((3, 60), 1 / 60)
    chart = attention_heatmap(weights_HW, newest="2024-05-31")
    spec = as_colours(json.loads(str(chart.json)))
    go.Figure(data=spec["data"], layout=spec["layout"])
    assert spec["data"][0]["x"][0] == "-59"
    assert spec["data"][0]["x"][-1] == "0"
    assert spec["data"][0]["y"] == ["1", "2", "3"]
    assert "2024-05-31" in spec["layout"]["xaxis"]["title"]["text"]
