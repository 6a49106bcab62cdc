"""Progress on standard error: bars only on a terminal, lines elsewhere, nothing where it is quiet."""

from types import SimpleNamespace

import pytest

from s2squant.cli.progress import JobProgress, Progress, mode_of

STAGES = ((SimpleNamespace(key="m", label="market"),), (SimpleNamespace(key="t", label="A"),))


def finished(key: str, status: str, reason: str = "") -> SimpleNamespace:
    return SimpleNamespace(key=key, status=status, reason=reason, seconds=1.0)


def a_run(mode: str) -> None:
    with JobProgress(mode) as progress:
        progress.lay_out(STAGES, ["markets", "tickers"], running=True)
        progress.start()
        progress.finished(finished("m", "done"))
        progress.finished(finished("t", "failed", "no [bold]bars"))
        assert progress.left == 0


def test_lines_where_nobody_watches_and_none_where_it_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    a_run("json")
    assert capsys.readouterr() == ("", "[1/2] market: done, 1.0 s\nfailed A: no [bold]bars\n")
    a_run("quiet")
    assert capsys.readouterr() == ("", "")


def test_bars_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    a_run("text")
    out, err = capsys.readouterr()
    assert out == ""
    assert "markets" in err
    assert "[1/2]" not in err
    assert "failed A: no [bold]bars" in err


def test_an_error_takes_the_bars_away(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    def work() -> None:
        with Progress() as progress:
            progress.bars.add_task("work", total=1)
            progress.start()
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        work()
    assert capsys.readouterr().err.endswith("\x1b[1A\x1b[2K")


def test_json_wins_over_quiet() -> None:
    assert [mode_of(as_json=j, quiet=q) for j in (True, False) for q in (True, False)] == [
        "json", "json", "quiet", "text",
    ]  # fmt: skip
