"""Reference pages written from the code: `python docs/reference.py` makes docs/cli.md and docs/configuration.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from s2squant.cli.app import app
from s2squant.config.covariates import CovariateSpec
from s2squant.config.experiment import Experiment
from s2squant.config.nightly import Nightly

FOLDER = Path(__file__).parent


def cli_page() -> str:
    """Every command with its options, as Markdown."""
    group = typer.main.get_group(app)
    lines = ["# Commands", "", "Written by `python docs/reference.py`. `s2squant COMMAND --help` says the same.", ""]
    for name, command in group.commands.items():
        lines += _command(f"s2squant {name}", command)
    return "\n".join(lines).rstrip() + "\n"


def _command(name: str, command: Any) -> Iterator[str]:
    yield from (f"## {name}", "", _plain(command.help or ""), "")
    inner = getattr(command, "commands", {})
    rows = [_row(parameter) for parameter in command.params if parameter.name != "help" and not parameter.hidden]
    if rows:
        yield from ("| argument or option | value | default | meaning |", "|---|---|---|---|", *rows, "")
    for sub, one in inner.items():
        yield from _command(f"{name} {sub}", one)


def _row(parameter: Any) -> str:
    is_option = bool(getattr(parameter, "opts", ()) and parameter.opts[0].startswith("-"))
    names = ", ".join(f"`{one}`" for one in parameter.opts) if is_option else f"`{parameter.metavar or parameter.name}`"
    value = "" if getattr(parameter, "is_flag", False) else str(parameter.metavar or parameter.type.name)
    default = parameter.default if isinstance(parameter.default, str | int | float) else ""
    shown = "" if default in ("", False, True) else f"`{default}`"
    return f"| {names} | {_cell(value)} | {shown} | {_cell(getattr(parameter, 'help', '') or '')} |"


def configuration_page() -> str:
    """Every setting of an experiment and of a nightly, with its default, as Markdown."""
    lines = [
        "# Settings",
        "",
        "Written by `python docs/reference.py`. An experiment is a TOML or JSON file, or `--set` with a dotted key "
        "and a TOML value; `s2squant config` prints the whole one, checked.",
        "",
        "## An experiment",
        "",
        *_settings(Experiment),
        "## A covariate",
        "",
        "One table of `[[covariates]]` each ([covariates.md](covariates.md)):",
        "",
        *_settings(CovariateSpec),
        "## A nightly",
        "",
        "Beside the experiment, below `experiment`:",
        "",
        *_settings(Nightly, skip=("experiment",)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _settings(model: type[BaseModel], skip: tuple[str, ...] = ()) -> Iterator[str]:
    rows = [row for row in _leaves(model, None, "") if row[0].partition(".")[0] not in skip]
    yield from ("| setting | default | meaning |", "|---|---|---|")
    yield from (f"| `{key}` | {default} | {meaning} |" for key, default, meaning in rows)
    yield ""


def _leaves(model: type[BaseModel], given: BaseModel | None, prefix: str) -> Iterator[tuple[str, str, str]]:
    """Key, default and meaning of every setting below a model, those of inner models by their dotted keys.

    `given` is the value that the model has within its parent, whose fields are the defaults there.
    """
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True) if given is None else getattr(given, name)
        inner = [one for one in (field.annotation, *get_args(field.annotation)) if _is_model(one)]
        if inner and not _is_listed(field.annotation):
            for one in inner:
                yield from _leaves(one, default if isinstance(default, one) else None, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _default(default), _cell(field.description or "")


def _is_model(one: Any) -> bool:
    return isinstance(one, type) and issubclass(one, BaseModel)


def _is_listed(annotation: Any) -> bool:
    """Whether a setting holds many inner models, by place or by name."""
    return getattr(annotation, "__origin__", None) in (tuple, list, dict, Mapping)


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return f"`{json.dumps(value, default=str)}`"


def _plain(text: str) -> str:
    """A docstring's paragraphs, without the marks that typer reads."""
    return "\n\n".join(" ".join(part.split()) for part in text.replace("\b", "").split("\n\n"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write both pages."""
    (FOLDER / "cli.md").write_text(cli_page(), encoding="utf-8")
    (FOLDER / "configuration.md").write_text(configuration_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
