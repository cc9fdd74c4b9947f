"""Pages from templates, and files written whole."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from raresight.errors import OptionError, RunError
from raresight.evidence.format import decimal, estimate_text, span
from raresight.report.tables import escape_md, escape_tex


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Write a number and what it counts: ``3,662 images``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; raises `RunError` where that cannot be."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(content.encode() if isinstance(content, str) else content)
        scratch.replace(path)
    except OSError as error:
        if scratch.exists():
            scratch.unlink()
        raise RunError(
            f"cannot write {path} ({error.strerror or error}); name another place for it"
        ) from error


def page_target(
    path: str | Path | None, folder: Path, name: str, format: str | None, what: str
) -> tuple[str, Path]:
    """Settle a page's form and file.

    Parameters
    ----------
    path : path, optional
        A file, or a folder for it; by default `folder`.
    folder : Path
    name : str
        Of the file in a folder, without its ending.
    format : {"html", "md"}, optional
        By default what the path's ending says, else a page.
    what : str
        What the page is, for the error.

    Raises
    ------
    OptionError
        If there is no such format.
    """
    target = folder if path is None else Path(path)
    ending = "" if path is None or target.is_dir() else target.suffix[1:]
    form = format or ending or "html"
    if form not in ("html", "md"):
        raise OptionError(f"unknown format {form!r} for {what}; there are: html, md")
    return form, target / f"{name}.{form}" if target.is_dir() else target


def page(form: str, template: str, context: dict[str, Any]) -> str:
    """Fill a template in; text is escaped for its form."""
    return _environment(form).get_template(template).render(context)


@cache
def _environment(form: str) -> jinja2.Environment:
    # LaTeX is full of braces: its template has other signs.
    signs: dict[str, Any] = {
        "block_start_string": "<%",
        "block_end_string": "%>",
        "variable_start_string": "<<",
        "variable_end_string": ">>",
        "comment_start_string": "<#",
        "comment_end_string": "#>",
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("raresight.report"),
        autoescape=form == "html",
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **(signs if form == "tex" else {}),
    )
    environment.filters.update(
        decimal=decimal, span=span, estimate=estimate_text, md=escape_md, tex=escape_tex, count=count
    )
    return environment
