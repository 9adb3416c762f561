"""The files of the coding challenge that the service began with, whose shapes are their own."""

from typing import Any

from sprocket_grpc.cli.resources.catalogue import Resource
from sprocket_grpc.cli.resources.reading import Line

_MEASURES = {"pitch": "pitch_mm", "pitch_diameter": "pitch_diameter_mm", "outside_diameter": "outside_diameter_mm"}
_SPROCKET = {"teeth", *_MEASURES}

HISTORY_IS_LEFT_OUT = (
    "the history of the factories is left out, but for the last goal: the service records charts itself; "
    "`sprocket-grpc seed` loads the challenge's"
)


def wrappers(resource: Resource) -> set[str]:
    """Return the fields that may hold all of a resource: what the challenge calls sprockets are types of them."""
    return {resource.items, "sprockets"} if resource.field == "sprocket_type" else {resource.items}


def has_history(line: Line) -> bool:
    """Whether a line is a factory as the challenge has it."""
    return line.values.keys() == {"factory"}


def adapted(resource: Resource, position: int, line: Line) -> Line:
    """Return a line as the contract has it. The challenge gives no names, so these have their position.

    Args:
        resource: What it is to be.
        position: Which in the file it is, from 1 on.
        line: Any line; one that is of no shape of the challenge's is left alone.
    """
    if line.values.keys() == _SPROCKET:
        if resource.field == "sprocket":
            return Line(line.number, {}, "this is a type of sprockets; say `sprocket-grpc import sprocket-types`")
        values = {_MEASURES.get(name, name): value for name, value in line.values.items()}
        return line._replace(values={"display_name": f"Sprocket type {position}"} | values)
    if resource.field == "factory" and has_history(line):
        return line._replace(values={"display_name": f"Factory {position}"} | _last_goal(line.values["factory"]))
    return line


def _last_goal(factory: Any) -> dict[str, Any]:  # noqa: ANN401  # whatever the file has
    try:
        return {"sprocket_production_goal": factory["chart_data"]["sprocket_production_goal"][-1]}
    except (KeyError, IndexError, TypeError):
        return {"factory": factory}  # which is refused as an unknown field
