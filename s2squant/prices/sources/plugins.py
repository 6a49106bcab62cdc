"""Price sources of other packages, by the entry point `s2squant.price_sources`.

A package declares `[project.entry-points."s2squant.price_sources"]` with `name = "module:function"`. The function takes
what stands after the colon of `--source name:place` (empty without one) and returns a Source; it raises SourceError, in
one line with the remedy, where a key or a package is missing.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from s2squant.errors import S2squantError, SourceError
from s2squant.prices.port import Source

GROUP = "s2squant.price_sources"


def plugin_names() -> tuple[str, ...]:
    """The names of the sources that installed packages offer."""
    return tuple(sorted(entry.name for entry in entry_points(group=GROUP)))


def open_plugin(name: str, place: str) -> Source | None:
    """The source that an installed package offers under this name, None without one; raises SourceError."""
    entries = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not entries:
        return None
    if len({entry.value for entry in entries}) > 1:
        raise SourceError(f"source {name!r} is offered by several packages ({_givers(entries)}); uninstall all but one")
    return _open(entries[0], place)


def _open(entry: EntryPoint, place: str) -> Source:
    label = f"source {entry.name!r} of {_givers([entry])}"
    try:
        source: Source = entry.load()(place)
    except ModuleNotFoundError as error:
        raise SourceError(f"{label} needs the package {error.name}; pip install {error.name}") from None
    except S2squantError:
        raise
    except Exception as error:  # another's code: whatever it raises is reported in one line
        what = " ".join(str(error).split())[:160]
        raise SourceError(f"{label} cannot be opened ({type(error).__name__}: {what})") from error
    lacking = [n for n in ("name", "tickers", "default_universe", "check", "history") if not hasattr(source, n)]
    if lacking:
        raise SourceError(f"{label} is no price source: it has no {lacking[0]}; see s2squant.prices.port.Source")
    return source


def _givers(entries: list[EntryPoint]) -> str:
    return ", ".join(sorted({entry.dist.name if entry.dist else entry.value for entry in entries}))
