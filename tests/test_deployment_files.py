"""The files in deployment/ say what the commands understand."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import typer.main
import yaml

from raresight.cli.app import app

FOLDER = Path(__file__).parent.parent / "deployment"


def options(command: str) -> set[str]:
    """Give the options of one of raresight's commands."""
    known = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    return {name for parameter in known.params for name in parameter.opts}


def of_units() -> list[list[str]]:
    found = []
    for unit in sorted(FOLDER.glob("*.service")):
        text = unit.read_text().replace("\\\n", " ")
        (line,) = re.findall(r"^ExecStart=\S+/raresight (.*)$", text, re.M)
        found.append(shlex.split(line))
    return found


def of_compose() -> list[list[str]]:
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    return [service["command"] for service in services.values() if "command" in service]


def of_dockerfile() -> list[list[str]]:
    (line,) = re.findall(r"^CMD (\[.*\])$", (FOLDER / "Dockerfile").read_text(), re.M)
    return [json.loads(line)]


@pytest.mark.parametrize("words", [*of_units(), *of_compose(), *of_dockerfile()], ids=lambda words: words[0])
def test_every_option_is_one_of_the_command(words: list[str]):
    assert words[0] in ("serve", "listen")
    given = {word for word in words if word.startswith("--")}
    assert given and given <= options(words[0])


def test_a_service_that_others_reach_asks_for_tokens():
    for words in [*of_units(), *of_compose(), *of_dockerfile()]:
        if words[0] == "serve" and words[words.index("--host") + 1] != "127.0.0.1":
            assert "--token-file" in words
    for service in yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_the_pacs_knows_the_node():
    settings = json.loads((FOLDER / "orthanc.json").read_text())
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    words = services["listen"]["command"]
    title, host, port = settings["DicomModalities"]["raresight"]
    assert title == words[words.index("--ae-title") + 1] and host in services
    assert str(port) == words[words.index("--port") + 1]
    own = f"{settings['DicomAet']}@orthanc:{settings['DicomPort']}"
    assert (
        words[words.index("--send-to") + 1] == own
        and words[words.index("--accept") + 1] == settings["DicomAet"]
    )
