import posixpath
import re
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest

from s2squant.report import sentences as takeaways
from s2squant.report.formats import interval, number, typeset
from s2squant.report.opening import opening, rule_of_badges
from s2squant.report.sentences import caveats
from s2squant.report.slugs import slugs
from s2squant.report.study_pages import render
from s2squant.report.study_view import arrange
from tests.report.factory import HOSTILE, TICKERS, emptied, make_study, tables

VOID = {"meta", "link", "br", "input", "img", "hr"}
SECTIONS = {
    "index": (
        *("forecast", "run", "verdict", "caveats", "leaderboard", "steps", "tickers", "time", "equity"),
        *("method", "provenance"),
    ),
    "ticker": ("forecast", "past", "models", "steps", "coverage", "time", "equity", "data", "training"),
}
ALWAYS = {"index": ("forecast", "verdict", "caveats", "provenance"), "ticker": ("forecast", "data")}
"""Sections of a study whose tables are all empty."""


class Page(HTMLParser):
    """Open elements must close in order; links, ids and elements are gathered."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.resources: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        self.handlers += [name for name in given if name.startswith("on")]
        self.ids += [given["id"]] if "id" in given else []
        if tag == "a":
            self.links.append(given["href"])
        else:
            self.resources += [given[name] for name in ("src", "href", "srcset", "data") if given.get(name)]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"


@pytest.fixture(scope="module")
def parsed(pages):
    return {path: Page(text) for path, text in pages.items()}


def test_a_page_for_every_finished_ticker(files):
    expected = {f"tickers/{name}.html" for name in slugs(TICKERS).values()}
    assert {path for path in files if path.startswith("tickers/")} == expected
    assert {"index.html", "forecast.csv", "assets/report.css", "assets/report.js", "assets/plotly.min.js"} == set(
        files
    ) - expected


def test_every_link_leads_to_a_written_file(files, parsed):
    for path, page in parsed.items():
        for link in page.links + page.resources:
            if link == "data:,":
                continue
            target, _, fragment = link.partition("#")
            assert "?" not in link
            found = posixpath.normpath(posixpath.join(posixpath.dirname(path), target)) if target else path
            assert found in files, f"{path} links to {link}"
            if fragment:
                assert fragment in parsed[found].ids, f"{path} links to {link}"


def test_nothing_comes_from_a_network(pages, files, parsed):
    for page in parsed.values():
        assert not [link for link in page.resources + page.links if re.match(r"(?i)\s*([a-z]+:)?//", link)]
    for text in [*pages.values(), files["assets/report.css"].decode()]:
        assert not re.search(r"(?i)https?://|@import|url\(", text)
    script = files["assets/report.js"].decode().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|\bfetch\(|XMLHttpRequest|import\(", script)


def test_hostile_text_stays_text(pages, parsed):
    for path, page in parsed.items():
        assert "img" not in page.tags, path
        assert not page.handlers, path
        assert pages[path].count("<script") == 2 + pages[path].count('<script type="application/json"')
    assert HOSTILE not in "".join(pages.values())
    assert "&lt;img src=x onerror=alert(1)&gt;" in pages["index.html"]
    assert "Large caps &lt;b&gt;" in pages["index.html"]


def test_ids_are_unique_and_sections_are_there(parsed):
    for path, page in parsed.items():
        assert len(set(page.ids)) == len(page.ids), path
        assert set(SECTIONS["index" if path == "index.html" else "ticker"]) <= set(page.ids)


def test_the_verdict_comes_first_and_in_words_then_the_fans_then_the_figures(pages, study):
    text, said = pages["index.html"], opening(arrange(study))
    places = [text.index(part) for part in ("<h1", 'class="badge', typeset(said.verdict), 'class="fan"')]
    places += [text.index(typeset(study.sentence)), text.index('id="part-evidence"')]
    assert places == sorted(places)
    assert typeset(study.rule) in text
    assert rule_of_badges() in text
    for lost in study.tickers[-2:]:
        assert lost.reason in text


def test_everything_but_the_first_part_is_folded(pages):
    for path, text in pages.items():
        folded = re.findall(r'<details class="part" id="part-(\w+)">', text)
        assert folded == ["evidence", "trading", "data"], path
        opened = text[: text.index('<details class="part"')]
        assert 'id="forecast"' in opened
        assert 'id="leaderboard"' not in opened
        for name in folded:
            assert f'href="#part-{name}"' in opened


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (
            {"cost_bp": 7.5},
            "Costs are 7.5 bp per unit of turnover and 50.0 bp a year on what is sold short; market impact, financing "
            "and taxes are not in them.",
        ),
        (
            {"borrow_bp": 0.0},
            "Costs are 5.0 bp per unit of turnover; market impact, borrowing, financing and taxes are not in them.",
        ),
    ],
)
def test_the_caveat_names_the_costs_that_were_charged(study, settings, wanted):
    experiment = study.experiment.model_copy(update={"strategy": study.experiment.strategy.model_copy(update=settings)})
    assert wanted in caveats(arrange(replace(study, experiment=experiment)))


def test_a_ticker_that_carries_the_pooled_variance_is_named(study):
    def said(shares):
        table = study.by_ticker.assign(variance_share=study.by_ticker["unique_id"].map(shares))
        return [text for text in caveats(arrange(replace(study, by_ticker=table))) if "alone carries" in text]

    even = dict.fromkeys(TICKERS, 1 / len(TICKERS))
    assert said(even) == []
    (found,) = said(even | {"ACME": 0.91})
    assert found.startswith("ACME alone carries 91\u202f% of the variance of the pooled gain over 4 tickers: ")
    assert said({"ACME": 0.9, "EURUSD=X": 0.1}) == [], "of two one always does"
    assert [text for text in caveats(arrange(study)) if "alone carries" in text] == [], "an older run does not say"


def test_same_study_same_bytes(study, files):
    assert dict(render(study)) == files


def test_text_columns_may_be_categories(study, files):
    text = {"model", "unique_id", "market", "member", "word", "pool", "step", "kind", "benchmark", "challenger"}
    made = {
        name: (table := getattr(study, name)).astype(
            {c: "category" for c in text & set(table.columns) if table[c].dtype.kind in "OTU" or c != "step"}
        )
        for name in tables(study)
    }
    assert dict(render(replace(study, **made))) == files


def test_sizes_stay_within_budget():
    many = {f"T{i:03d}": "XNYS" for i in range(30)}
    sizes = {p: len(b) for p, b in render(make_study(tickers=many, bars=900, cutoffs=6)) if p.endswith(".html")}
    assert sizes["index.html"] < 400_000
    assert max(size for path, size in sizes.items() if path != "index.html") < 300_000


def test_size_of_a_ticker_page_with_a_full_walk():
    files = dict(render(make_study(tickers={"ACME": "XNYS"}, bars=2600, cutoffs=100)))
    assert len(files["tickers/acme.html"]) < 300_000


def test_empty_tables_leave_their_reason(study):
    for path, content in render(emptied(study)):
        if path.endswith(".html"):
            page = Page(content.decode())
            kind = "index" if path == "index.html" else "ticker"
            there = set(SECTIONS[kind]) & set(page.ids) - {"run"}
            assert there == {*ALWAYS[kind], *({"method"} if kind == "index" else ())}, path
            assert "Not computed" in content.decode()
            assert "was scored" in content.decode() or "were recorded" in content.decode()


@pytest.mark.slow
def test_any_one_table_may_be_missing():
    study = make_study(tickers={"ACME": "XNYS"}, bars=700, cutoffs=3)
    for name in tables(study):
        for path, content in render(emptied(study, name)):
            if path.endswith(".html"):
                Page(content.decode())


def test_the_reference_may_be_what_is_recommended(study):
    chosen = study.experiment.model_copy(
        update={"verdict": study.experiment.verdict.model_copy(update={"recommended": "historical_simulation"})}
    )
    table = study.by_ticker.assign(word=lambda t: t["word"].where(t["model"] != "historical_simulation"))
    for path, content in render(replace(study, experiment=chosen, by_ticker=table)):
        if path.endswith(".html"):
            Page(content.decode())


def with_skills(study, skills):
    """The study with other skills in the leaderboard."""
    board = study.leaderboard
    return replace(study, leaderboard=board.assign(skill=board["model"].map(skills).fillna(board["skill"])))


def test_the_best_baseline_is_the_one_of_the_verdict(study):
    """The baseline of the highest skill; where that is the reference, the one that comes second is none."""
    ahead = with_skills(study, {"blend": 0.09, "ewma_t": 0.06, "gjr_t": 0.05})
    assert "The best baseline, EWMA-t, has" in takeaways.leaderboard(arrange(ahead))
    behind = with_skills(study, dict.fromkeys(("random_walk", "ewma_t", "garch_t", "gjr_t"), -0.01))
    assert "The best baseline" not in takeaways.leaderboard(arrange(behind))
    assert arrange(behind).first("baseline") is not None


def test_the_parts_of_a_skill_stand_beside_it_with_their_intervals(study, files):
    """And a run that was written before there were any is laid out without."""
    row = study.leaderboard.set_index("model").loc["blend"]
    page = files["index.html"].decode()
    for part in ("location", "shape"):
        ends = interval(row[f"{part}_low"], row[f"{part}_high"])
        assert f'{ends}">{number(100 * row[part], 2, True)}</td>' in page
        assert f'<span class="ci">{ends}</span>' in page
    older = {
        name: table[[c for c in table.columns if not c.startswith(("location", "shape"))]]
        for name, table in (("leaderboard", study.leaderboard), ("verdicts", study.verdicts))
    }
    assert "Of which" in page
    assert "Of which" not in dict(render(replace(study, **older)))["index.html"].decode()


def test_a_ticker_that_was_not_tested_says_why(study):
    row = next(r for r in study.by_ticker.to_dict("records") if (r["model"], r["unique_id"]) == ("blend", "ACME"))
    assert "no evidence of skill on this ticker alone (q" in takeaways.ticker(
        arrange(study), row | {"word": "no evidence"}
    )
    told = study.verdicts.query("challenger == 'blend' and step == 'all'").assign(
        pool="ACME", test="not tested: 4 cutoffs, at least 8 needed"
    )
    few = arrange(replace(study, verdicts=pd.concat([study.verdicts, told], ignore_index=True)))
    nothing = dict.fromkeys(("low", "high", "smallest_detectable"), float("nan"))
    said = takeaways.ticker(few, row | nothing | {"q": 1.0, "word": "no evidence"})
    assert said.startswith("Skill against historical simulation ")
    assert said.endswith(": not tested: 4 cutoffs, at least 8 needed.")


def test_the_reference_is_not_compared_with_itself(study):
    verdict = study.experiment.verdict.model_copy(update={"recommended": "historical_simulation"})
    c = arrange(replace(study, experiment=study.experiment.model_copy(update={"verdict": verdict})))
    assert takeaways.steps(study.by_step, c.recommended, c.reference) == ""
    assert takeaways.steps(study.by_step, "blend", c.reference) != ""
    row = next(r for r in study.by_ticker.to_dict("records") if r["model"] == "historical_simulation")
    assert takeaways.ticker(c, row) == "Historical simulation is the reference: there is nothing to compare it with."
    assert takeaways.tickers(c, [row]) == ""


def test_the_leaderboard_says_when_the_recalibration_was_in_force(study):
    days = pd.date_range("2020-01-01", periods=10)
    table = pd.DataFrame({"market": "XNYS", "cutoff": days.repeat(2), "steps": ["1", "2-5"] * 10, "used": True})
    table["factor"] = [1.0, 1.0] * 4 + [1.1, 1.0] * 6

    def said(decided):
        return takeaways.leaderboard(arrange(replace(study, recalibration=decided)))

    assert "ecalibration" not in said(pd.DataFrame())
    assert said(table).endswith("Recalibration changed the bands at 6 of 10 cutoffs, since 2020-01-05.")
    ended = table.assign(used=table["cutoff"] < "2020-01-08")
    assert said(ended).endswith("Recalibration changed the bands at 3 of 10 cutoffs, from 2020-01-05 to 2020-01-07.")
    assert "never changed the bands" in said(table.assign(used=False))
    assert "never changed the bands" in said(table.assign(factor=1.0))


def test_nothing_finished_and_nothing_known(study):
    bare = emptied(replace(study, tickers=study.tickers[-2:], folds=(), histories={}, provenance={}))
    files = dict(render(bare))
    assert not [path for path in files if path.startswith("tickers/")]
    Page(files["index.html"].decode())


def test_rerun_command_names_the_ticker_for_a_shell(pages):
    page = pages[f"tickers/{slugs(TICKERS)[HOSTILE]}.html"]
    command = (
        "s2squant backtest experiment.json --source csv:prices --tickers &#39;&lt;img src=x onerror=alert(1)&gt;&#39;"
    )
    assert f"<code>{command}</code>" in page
