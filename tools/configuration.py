"""Writes the table of settings in docs/configuration.md from the settings: `python -m tools.configuration`.

The descriptions are those in the docstrings of the classes, and the ranges those that the server checks. So the page,
the code and the messages about invalid values cannot differ.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from sprocket_grpc.config.environment import PREFIX
from sprocket_grpc.config.settings import Settings

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
_BEGIN, _END = "<!-- make generate writes from here -->\n", "<!-- to here -->\n"
_ATTRIBUTE = re.compile(r"^    (\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)


def main() -> None:
    """Update the table in the page."""
    PAGE.write_text(updated(PAGE.read_text()))


def updated(page: str) -> str:
    """Return a page with the present table between its markers."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return "".join([before, _BEGIN, *_rows(), _END, after])


def descriptions() -> Mapping[str, str]:
    """Return the description of each setting, from the `Attributes` of the classes."""
    documents = [
        inspect.getdoc(each) or "" for each in Settings.__mro__ if each.__module__.startswith("sprocket_grpc.")
    ]
    found = [pair for each in documents for pair in _ATTRIBUTE.findall(each.partition("Attributes:\n")[2])]
    return {name: " ".join(text.split()) for name, text in found}


def _rows() -> Iterator[str]:
    yield from ("| variable | default | accepted | description |\n", "|---|---|---|---|\n")
    texts = descriptions()
    for name, field in sorted(Settings.model_fields.items(), key=lambda each: _variable(each[0])):
        yield f"| `{_variable(name)}` | {_default(field)} | {_accepted(field)} | {_linked(texts[name])} |\n"


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _linked(text: str) -> str:
    """Write the names of other settings as those of their variables."""
    names = "|".join(Settings.model_fields)
    return re.sub(rf"`({names})`", lambda match: f"`{_variable(match[1])}`", text)


def _default(field: FieldInfo) -> str:
    default = str(field.default).lower() if isinstance(field.default, bool) else field.default
    return "" if default is None else f"`{default}`"


def _accepted(field: FieldInfo) -> str:
    """Return the values that a setting accepts, if its type says that."""
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    if bool in (field.annotation, *get_args(field.annotation)):
        return "`true`, `false`"
    limits: dict[type, Any] = {type(each): each for each in field.metadata}
    if Le not in limits:
        return ""
    least = f"{limits[Ge].ge:,}" if Ge in limits else f"more than {limits[Gt].gt:,}"
    return f"{least} to {limits[Le].le:,}"


if __name__ == "__main__":
    main()
