"""The house: rooms stand in the order in which data walks through them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import raresight

ROOMS = (
    *("images", "networks", "represent", "balance", "detect", "evidence", "experiment"),
    *("audit", "explain", "stress", "report", "deploy", "cli"),
)
HOUSE = Path(raresight.__file__).parent


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [name for name in found if name.startswith("raresight.")]


def test_a_room_imports_only_rooms_above_it():
    for path in HOUSE.rglob("*.py"):
        room = path.relative_to(HOUSE).parts[0]
        if room not in ROOMS:
            continue
        for name in imports(path):
            other = name.split(".")[1]
            if other in ROOMS:
                assert ROOMS.index(other) <= ROOMS.index(room), f"{path}: {room} imports {other}"


def test_no_room_reaches_into_anothers_private_names():
    for path in HOUSE.rglob("*.py"):
        room = path.relative_to(HOUSE).parts[0]
        for name in imports(path):
            parts = name.split(".")
            if parts[1] in ROOMS and parts[1] != room:
                assert not any(part.startswith("_") for part in parts), f"{path} imports {name}"


def test_every_folder_is_a_known_room():
    folders = {p.name for p in HOUSE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders <= set(ROOMS)


def test_every_public_name_is_there():
    for name in raresight.__all__:
        assert getattr(raresight, name).__doc__


def test_files_fit_a_head():
    long = {p.name: n for p in HOUSE.rglob("*.py") if (n := len(p.read_text().splitlines())) > 450}
    assert not long


def test_nothing_seeds_the_whole_process():
    seeding = re.compile(r"(np\.random\.seed|(?<!\w)random\.seed|torch\.manual_seed)\(")
    for path in HOUSE.rglob("*.py"):
        text = path.read_text()
        assert not seeding.search(text) or "fork_rng" in text, path
