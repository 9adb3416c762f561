"""Converts lines of the coding challenge's files, from which the service grew, into resources of the contract."""

from typing import Any

from sprocket_grpc.cli.resources.catalogue import Resource
from sprocket_grpc.cli.resources.reading import Line

_MEASURES = {"pitch": "pitch_mm", "pitch_diameter": "pitch_diameter_mm", "outside_diameter": "outside_diameter_mm"}
_SPROCKET = {"teeth", *_MEASURES}

HISTORY_IS_LEFT_OUT = (
    "only the last goal of each factory is imported, not its history, because the service records charts itself; "
    "`sprocket-grpc seed` loads the history of the challenge"
)


def wrappers(resource: Resource) -> set[str]:
    """Return the fields that may hold all resources of a file. The challenge's sprockets are sprocket types here."""
    return {resource.items, "sprockets"} if resource.field == "sprocket_type" else {resource.items}


def has_history(line: Line) -> bool:
    """Whether a line is a factory in the challenge's format, which includes its history."""
    return line.values.keys() == {"factory"}


def adapted(resource: Resource, position: int, line: Line) -> Line:
    """Return a line with the fields of the contract. The challenge has no names, so names are made from the position.

    Args:
        resource: The kind of resource to import.
        position: The position in the file, from 1 on.
        line: Any line. A line that is not in the challenge's format is returned as it is.
    """
    if line.values.keys() == _SPROCKET:
        if resource.field == "sprocket":
            return Line(line.number, {}, "this is a sprocket type: run `sprocket-grpc import sprocket-types`")
        values = {_MEASURES.get(name, name): value for name, value in line.values.items()}
        return line._replace(values={"display_name": f"Sprocket type {position}"} | values)
    if resource.field == "factory" and has_history(line):
        return line._replace(values={"display_name": f"Factory {position}"} | _last_goal(line.values["factory"]))
    return line


def _last_goal(factory: Any) -> dict[str, Any]:  # noqa: ANN401  # any JSON value
    try:
        return {"sprocket_production_goal": factory["chart_data"]["sprocket_production_goal"][-1]}
    except (KeyError, IndexError, TypeError):
        return {"factory": factory}  # rejected as an unknown field
