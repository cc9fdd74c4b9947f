"""What the commands share: one console on stderr, progress bars, errors in one sentence, JSON on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from raresight.errors import RaresightError
from raresight.progress import Tick

messages = Console(stderr=True, highlight=False)

USER_ERROR = 2

INTERRUPTED = 130
"""The status that typer makes of Ctrl-C."""


def guarded(app: Callable[..., Any], arguments: Sequence[str]) -> int:
    """Run the application and give its exit status."""
    debug = "--debug" in arguments
    try:
        plain = [a for a in arguments if a != "--debug"]
        status = app(args=plain or ["--help"], standalone_mode=False)
    except typer.TyperException as error:
        complain(getattr(error, "format_message", error.__str__)())
        return USER_ERROR
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except RaresightError as error:
        if debug:
            raise
        complain(str(error))
        return USER_ERROR
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    if status == INTERRUPTED:
        complain("interrupted; what is finished is kept, and the same command goes on from there")
        return USER_ERROR
    return status if isinstance(status, int) else 0


def complain(sentence: str) -> None:
    """Print one sentence for the user."""
    messages.print(f"[bold red]error:[/] {escape(sentence)}", soft_wrap=True)


def say(sentence: str) -> None:
    """Print a line that is not the result."""
    messages.print(escape(sentence), soft_wrap=True)


def print_json(content: Any) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(content, indent=1, allow_nan=False))


@contextmanager
def bars(step: str, total: int) -> Iterator[Tick]:
    """Show a progress bar with the step's name and the time that remains."""
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    if not messages.is_terminal:
        messages.print(f"{step} ({total})", soft_wrap=True)
        yield lambda count: None
        return
    with Bars(*columns, console=messages, transient=True) as shown:
        task = shown.add_task(step, total=total)
        yield lambda count: shown.advance(task, count)
