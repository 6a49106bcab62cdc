"""The files of docs/operation: well formed, no secret, no port beyond this machine, commands that exist."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from s2squant.cli import app as cli

PLACE = Path(__file__).parents[3] / "docs" / "operation"
UNITS = sorted(PLACE.glob("s2squant*.service")) + sorted(PLACE.glob("s2squant*.timer"))
KEYS = {"build", "image", "restart", "command", "environment", "ports", "depends_on", "healthcheck", "volumes"}
KEYS |= {"configs", "stop_signal", "stop_grace_period"}


def compose() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(PLACE / "compose.yaml")
    return found


def test_compose_is_whole() -> None:
    document = compose()
    services = document["services"]
    assert set(services) == {"database", "server", "serve"}
    for name, service in services.items():
        assert set(service) <= KEYS, name
        assert ("image" in service) != ("build" in service)
        for needed, how in service.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy"
            assert "healthcheck" in services[needed]
        for volume in service.get("volumes", ()):
            assert volume.partition(":")[0] in document["volumes"]
        for config in service.get("configs", ()):
            assert config["source"] in document["configs"]
        if "build" in service:
            assert (PLACE / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
            assert service["environment"]["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
            assert service["environment"]["DO_NOT_TRACK"] == "1"


def test_compose_publishes_on_loopback_only_and_holds_no_password() -> None:
    services = compose()["services"]
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published == ["127.0.0.1:4200:4200"]
    text = (PLACE / "compose.yaml").read_text()
    for secret in re.findall(r"(?:PASSWORD: |s2squant:)(\S+?)(?:@|\s|$)", text):
        assert secret.startswith("${S2SQUANT_DB_PASSWORD:?"), secret
    for name, scheme in (("server", "postgresql+asyncpg"), ("serve", "postgresql+psycopg")):
        urls = [value for value in services[name]["environment"].values() if "@database/" in value]
        assert [url.partition("://")[0] for url in urls] == [scheme]


def test_the_image_copies_what_exists() -> None:
    root, text = PLACE.parents[1], (PLACE / "Dockerfile").read_text()
    copied = [part for line in re.findall(r"^COPY (.*) \S+$", text, re.M) for part in line.split()]
    assert copied
    assert all((root / part).exists() for part in copied)
    allowed = re.findall(r"^!(.*)$", (PLACE / "Dockerfile.dockerignore").read_text(), re.M)
    assert sorted(allowed) == sorted(copied)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_the_units_are_accepted(tmp_path: Path) -> None:
    for unit in UNITS:  # the program that they start is not installed there on this machine
        text = re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", unit.read_text(), flags=re.M)
        (tmp_path / unit.name).write_text(text)
    ended = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / unit.name) for unit in UNITS)],
        capture_output=True, text=True, env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"}, timeout=60,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_commands_they_start_exist() -> None:
    import typer

    known = set(typer.main.get_group(cli.app).commands)
    for unit in UNITS:
        for command in re.findall(r"^ExecStart=\S+/s2squant (\S+)", unit.read_text(), re.M):
            assert command in known
    page = (PLACE / "README.md").read_text()
    named = set(re.findall(r"(?:\.venv/bin/|`)s2squant ([a-z]+)", page))
    assert {"up", "status", "forecast", "maintain"} <= named <= known
    for target in re.findall(r"\]\(([^)#]+)\)", page):
        assert (PLACE / target).exists(), target
