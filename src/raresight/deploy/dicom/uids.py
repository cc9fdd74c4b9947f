"""Names of results that a replay gives again: the same images and the same bundle, the same UIDs."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import NAMESPACE_OID, uuid5

MAKER = "raresight"
"""Manufacturer of every result; also how a node knows its own when a PACS sends them back."""

ROOT = uuid5(NAMESPACE_OID, "raresight results")


def derived_uid(*parts: str) -> str:
    """Derive a UID from texts (PS3.5 B.2, from a UUID): the same texts, the same UID."""
    return f"2.25.{uuid5(ROOT, chr(0).join(parts)).int}"


def batch_key(bundle: str, objects: Iterable[str]) -> str:
    """Name what was scored together: a bundle's hash and SOP Instance UIDs, in any order."""
    return uuid5(ROOT, chr(0).join([bundle, *sorted(objects)])).hex
