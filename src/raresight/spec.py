"""Names with options in brackets, as the command line takes them: ``smote[k_neighbors=3]``."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import Any

from raresight.errors import OptionError
from raresight.registry import Registry

_FORM = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*(?:\+\+)?)(?:\[(?P<options>[^\[\]]*)\])?")


@dataclass(frozen=True, slots=True)
class Spec:
    """A registered name and the options given with it.

    Attributes
    ----------
    name : str
    options : dict
        Option → number, truth value or text.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return f"{self.name}[{','.join(f'{k}={v}' for k, v in sorted(self.options.items()))}]"

    def make(self, registry: Registry, **defaults: Any) -> Any:
        """Build what the name stands for.

        Parameters
        ----------
        registry : Registry
        **defaults
            Options to pass where the class takes them and the user did not give them.

        Raises
        ------
        OptionError
            If the name is unknown, or takes no such option.
        """
        target = registry[self.name].load()
        takes = [name for name in inspect.signature(target).parameters if name != "self"]
        for option in self.options:
            if option not in takes:
                there = f"it takes: {', '.join(takes)}" if takes else "it takes none"
                raise OptionError(f"{registry.kind} {self.name!r} has no option {option!r}; {there}")
        chosen = {k: v for k, v in defaults.items() if k in takes} | self.options
        return target(**chosen)


def parse_spec(text: str) -> Spec:
    """Read ``name`` or ``name[option=value,…]``.

    Raises
    ------
    OptionError
        If the text has another form.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise OptionError(f"cannot read {text!r}; write a name, or name[option=value,option=value]")
    options = {}
    for pair in filter(None, (match["options"] or "").split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise OptionError(f"cannot read the option {pair!r} of {text!r}; write option=value")
        options[key.strip()] = _value(value.strip())
    return Spec(match["name"], options)


def split_specs(text: str) -> list[str]:
    """Split a comma-separated list, leaving commas in brackets alone."""
    return [part.strip() for part in re.split(r",(?![^\[]*\])", text) if part.strip()]


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text.lower() == "none":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
