"""The price store: versions that stay readable, whole files only, names no ticker breaks out of."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from s2squant.config.experiment import Universe
from s2squant.errors import BadPricesError, PriceError, SourceError
from s2squant.prices.sources.from_store import StoreSource, as_history
from s2squant.prices.store.bars import COLUMNS, About, Bars, columns_of
from s2squant.prices.store.price_store import PriceStore
from s2squant.prices.universe import load_universe

NOW = datetime(2024, 3, 1, 22, tzinfo=UTC)


def some(count=30, seed=0, **columns):
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(0.01 * rng.standard_normal(count)))
    at = np.arange(count).astype("datetime64[D]") + np.datetime64("2023-01-02", "D").astype(int)
    given = {"open": close, "high": close * 1.01, "low": close / 1.01, "close": close, "volume": np.full(count, 1e6)}
    return Bars(at, columns_of({**given, **columns}, count))


def about(ticker="AAA", interval="1d"):
    return About(ticker, interval, "yfinance", "XNYS")


def write(store, bars, ticker="AAA", at=NOW, interval="1d"):
    with store.locked(ticker, interval):
        after = store.find(ticker, interval)
        written = store.write(about(ticker, interval), bars, after=after, fetched_at=at, start="", added=len(bars))
        return written.version


def same(left, right):
    np.testing.assert_array_equal(left.times, right.times)
    for name in COLUMNS:
        np.testing.assert_array_equal(left.columns[name], right.columns[name])


def test_what_is_written_comes_back(tmp_path):
    store, bars = PriceStore(tmp_path), some()
    version = write(store, bars)
    kept = store.read("AAA")
    same(kept.bars, bars)
    assert kept.about == about()
    assert kept.version == version
    assert (version.version, version.sha256, version.rows) == (1, bars.sha256, 30)
    assert (version.first, version.last) == ("2023-01-02", "2023-01-31")
    assert store.find("BBB") is None


def test_every_version_can_be_read_again(tmp_path):
    """Random histories of revisions: added, changed, removed and unknown values."""
    rng = np.random.default_rng(1)
    store, states = PriceStore(tmp_path), []
    bars = some(20)
    for number in range(12):
        if number:
            grown = some(20 + number, seed=number) if rng.random() < 0.2 else None
            columns = {name: values.copy() for name, values in bars.columns.items()}
            columns["close"][rng.integers(len(bars), size=3)] *= 1.01
            columns["volume"][rng.integers(len(bars))] = np.nan
            bars = grown or Bars(bars.times, columns).where(np.arange(len(bars)) != rng.integers(len(bars)))
        version = write(store, bars, at=NOW + timedelta(hours=number))
        states.append((version, bars))
    assert store.versions("AAA") == tuple(version for version, _ in states)
    for number, (version, bars) in enumerate(states):
        kept = store.read("AAA", as_of=NOW + timedelta(hours=number, minutes=30))
        assert kept.version == version
        same(kept.bars, bars)
    with pytest.raises(PriceError, match="not stored yet as of 2020"):
        store.read("AAA", as_of=datetime(2020, 1, 1, tzinfo=UTC))


def test_versions_are_strictly_later_even_where_the_clock_is_not(tmp_path):
    store = PriceStore(tmp_path)
    stamps = [write(store, some(20 + n), at=NOW - timedelta(hours=n)).fetched_at for n in range(4)]
    assert stamps == sorted(set(stamps))


def test_rows_are_never_taken_out(tmp_path):
    store = PriceStore(tmp_path)
    for n in range(5):
        write(store, some(20, seed=n))
    assert len(list(tmp_path.rglob("*.parquet"))) == 1
    for n, version in enumerate(store.versions("AAA")):
        same(store.read("AAA", as_of=datetime.fromisoformat(version.fetched_at)).bars, some(20, seed=n))


def test_intervals_are_kept_apart(tmp_path):
    store = PriceStore(tmp_path)
    write(store, some(20))
    write(store, some(25), interval="1h")
    assert (len(store.read("AAA").bars), len(store.read("AAA", "1h").bars)) == (20, 25)
    assert store.tickers("30m") == ()
    for interval in ("../x", "", "1d/..", "d"):
        with pytest.raises(SourceError, match="write 1d, 1h or 30m"):
            store.read("AAA", interval)


@pytest.mark.parametrize(
    "ticker", ["../../x", "<script>", "CON", "con", "BRK-B", "^GSPC", "EURUSD=X", "a/b", "é" * 80, "."]
)
def test_no_ticker_leaves_the_folder(tmp_path, ticker):
    folder = tmp_path / "deep" / "store"
    store = PriceStore(folder)
    write(store, some(), ticker=ticker)
    assert store.read(ticker).about.ticker == ticker
    assert store.tickers() == (ticker,)
    assert {path.relative_to(tmp_path).parts[:2] for path in tmp_path.rglob("*.*")} == {("deep", "store")}


def test_an_absent_ticker_and_an_absent_store(tmp_path):
    with pytest.raises(PriceError, match=r"AAA: not in the price store .*none; `s2squant fetch` puts it there"):
        PriceStore(tmp_path / "none").read("AAA")
    assert not (tmp_path / "none").exists()
    with pytest.raises(SourceError, match="no price store or an empty one"):
        StoreSource(tmp_path / "none")


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SourceError, match="cannot be written"), PriceStore(tmp_path / "file").locked("AAA"):
        pass


def test_damage_is_seen(tmp_path):
    store = PriceStore(tmp_path)
    write(store, some())
    (manifest,) = tmp_path.rglob("manifest.json")
    (data,) = tmp_path.rglob("*.parquet")
    good, told = data.read_bytes(), manifest.read_text()

    def refused(match):
        with pytest.raises(BadPricesError, match=match) as caught:
            store.read("AAA")
        assert f"puts {data.parent.name} aside, then fetch again" in str(caught.value)

    for broken in (b"", good[: len(good) // 2], b"PAR1" + good[4:-8] + b"xxxxPAR1"):
        data.write_bytes(broken)
        refused("damaged")
    data.write_bytes(good)
    manifest.write_text(told.replace(json.loads(told)["versions"][0]["sha256"], "0" * 64))
    refused("were changed")
    older = {k: v for k, v in json.loads(told).items() if k not in ("sha256", "file_sha256")}
    manifest.write_text(json.dumps(older))  # of a version without checksums
    same(store.read("AAA").bars, some())
    older["versions"][0]["sha256"] = "0" * 64
    manifest.write_text(json.dumps(older))
    refused("were changed")
    for wrong in ({"versions": []}, {"file": "x.parquet"}, {"start": 3}, {"about": {"ticker": "AAA"}}):
        manifest.write_text(json.dumps(older | wrong))
        refused("damaged")
    for broken in ("", "{", "[]", '{"format": 9}', told.replace('"AAA"', '"BBB"')):
        manifest.write_text(broken)
        refused("damaged")
    manifest.write_text(told)
    data.unlink()
    refused("parquet file is missing")


def test_a_manifest_cannot_point_outside(tmp_path):
    store = PriceStore(tmp_path / "store")
    write(store, some())
    (manifest,) = tmp_path.rglob("manifest.json")
    (tmp_path / "outside.parquet").write_bytes(next(tmp_path.rglob("*.parquet")).read_bytes())
    manifest.write_text(manifest.read_text().replace("bars.1.parquet", "../../../outside.parquet"))
    with pytest.raises(BadPricesError, match="were changed"):
        store.read("AAA")
    unsealed = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({k: v for k, v in unsealed.items() if k not in ("sha256", "file_sha256")}))
    with pytest.raises(BadPricesError, match="no parquet file"):
        store.read("AAA")


def test_what_a_killed_writer_leaves_is_swept(tmp_path):
    store = PriceStore(tmp_path)
    write(store, some(20))
    place = next(tmp_path.rglob("manifest.json")).parent
    (place / ".bars.2.parquet.abc.tmp").write_bytes(b"half")
    (place / "bars.2.parquet").write_bytes(b"written, its manifest not")
    assert len(store.read("AAA").bars) == 20
    write(store, some(21))
    assert sorted(path.name for path in place.iterdir()) == ["bars.2.parquet", "lock", "manifest.json"]
    assert len(store.read("AAA").bars) == 21


def test_readers_and_writers_at_once(tmp_path):
    """A reader sees one whole version or another while a writer puts new ones in place."""
    store, seen, stop = PriceStore(tmp_path), [], threading.Event()
    write(store, some(20))
    failures = []

    def read():
        while not stop.is_set():
            try:
                seen.append(store.read("AAA").version.version)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in range(25):
        write(store, some(21 + n))
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(set(seen)) > 1


def test_history_of_stored_bars(tmp_path):
    """Adjusted by hand: a 2:1 split and a dividend of 3 on a close of 60."""
    close = np.array([100.0, 120.0, 60.0, 57.0, 58.0])
    splits, dividends = np.array([0, 0, 2.0, 0, 0]), np.array([0, 0, 0, 3.0, 0])
    store = PriceStore(tmp_path)
    write(store, some(5, close=close, open=close, high=close, low=close, splits=splits, dividends=dividends))
    history = as_history(store.read("AAA"))
    factor = 1 - 3 / 60
    np.testing.assert_allclose(history.adj_close, [50 * factor, 60 * factor, 60 * factor, 57, 58], rtol=1e-12)
    np.testing.assert_array_equal(history.bars["close"], close)
    assert (history.calendar, history.source) == ("XNYS", "yfinance")


def test_an_impossible_dividend_is_said_with_its_date(tmp_path):
    store = PriceStore(tmp_path)
    write(store, some(5, dividends=np.array([0, 0, 900.0, 0, 0])))
    with pytest.raises(PriceError, match="dividend 900 on 2023-01-04 is not below the close before it"):
        as_history(store.read("AAA"))


def test_nothing_is_written_by_reading(tmp_path: Path):
    store = PriceStore(tmp_path)
    write(store, some())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    source = StoreSource(tmp_path)
    assert (source.tickers(), source.default_universe()) == (("AAA",), ("AAA",))
    source.history("AAA")
    with pytest.raises(SourceError, match="did you mean AAA"):
        source.history("AAB")
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


@pytest.mark.parametrize("ticker", ["AAA", "^GSPC", "EURUSD=X", "BRK-B", "AT&T", "a b"])
@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b'{"about": {"ticker": "OTHER"}}'])
def test_a_damaged_manifest_stays_listed_and_is_refused_by_name(tmp_path, ticker, broken):
    store = PriceStore(tmp_path)
    write(store, some(), ticker="GOOD")
    write(store, some(), ticker=ticker)
    place = next(p.parent for p in tmp_path.rglob("manifest.json") if "GOOD" not in p.parent.name)
    (place / "manifest.json").write_bytes(broken)
    name = place.name if ticker == "a b" else ticker  # what no longer says its name goes by its folder's
    assert store.tickers() == tuple(sorted(["GOOD", name]))
    loaded = load_universe(Universe(source=f"store:{tmp_path}", accept=("all",)))
    assert [h.ticker for h in loaded.histories] == ["GOOD"]
    assert f"puts {place.name} aside, then fetch again" in loaded.refused[name]


@pytest.mark.parametrize("name", ["manifest.json", "bars.2.parquet"])
def test_any_flipped_bit_of_a_stored_ticker_is_told_and_repaired(tmp_path, name):
    """Of rows that stand in no newer version, too."""
    store, rng = PriceStore(tmp_path), np.random.default_rng(1)
    write(store, some(20))
    write(store, some(25, seed=2))
    write(store, some(30), ticker="BBB")
    path = store._place("AAA", "1d") / name
    good = path.read_bytes()
    for place in rng.integers(0, len(good), 60):
        damaged = bytearray(good)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        assert store.damage("AAA"), place
        with pytest.raises(BadPricesError, match="prices repair"):
            store.read("AAA")
    assert not store.damage("BBB")
    aside = store.put_aside("AAA")
    assert (aside / name).read_bytes() == bytes(damaged)
    assert store.tickers() == ("BBB",)
    write(store, some(20))
    assert not store.damage("AAA")
