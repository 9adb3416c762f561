"""A sequence of writes that depend on each other: creation, batches, moves, repeats, stale etags and cascades."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from reliability.fuzz.port import Method, Port
from reliability.fuzz.texts import new_id
from reliability.fuzz.wire import mutate
from reliability.fuzz.world import World

_MUTATED = 0.1


def story(chance: random.Random, port: Port, world: World) -> Iterator[tuple[Method, bytes]]:
    """Yield the calls of a story, some of them mutated. Most often, it deletes all that it created in the end."""
    for method, message in _steps(chance, port, world):
        data = message.SerializeToString()
        yield method, mutate(chance, data) if chance.random() < _MUTATED else data


def _steps(chance: random.Random, port: Port, world: World) -> Iterator[tuple[Method, Any]]:
    made = World({kind: [new_id(chance)] for kind in world.ids})
    ids = {kind: first for kind, [first] in made.ids.items()}
    for method, data in made.creations(port):
        yield method, method.request.FromString(data)
    yield from _batches(chance, port, ids)
    yield from _moves(chance, port, made, ids, world.ids["factory"])
    yield from _ends(chance, port, ids)


def _batches(chance: random.Random, port: Port, ids: dict[str, str]) -> Iterator[tuple[Method, Any]]:
    """Create many sprockets twice with one request id, and then others with it."""
    sprocket: Any = port.message("Sprocket")(sprocket_type_id=ids["sprocket_type"], factory_id=ids["factory"])
    count, request_id = chance.choice([1, 2, 20, 300]), new_id(chance)
    for number in (count, count, count + 1):
        yield _call(port, "BatchCreateSprockets", sprockets=[sprocket] * number, request_id=request_id)


def _moves(
    chance: random.Random, port: Port, made: World, ids: dict[str, str], factories: Sequence[str]
) -> Iterator[tuple[Method, Any]]:
    """Move a sprocket to a factory of others and back, and change a goal with a stale etag and without."""
    moved: Any = made.resource(port, "sprocket", ids["sprocket"], 0)
    for target in (chance.choice(factories), ids["factory"]):
        moved.factory_id = target
        yield _call(port, "UpdateSprocket", sprocket=moved, update_mask={"paths": ["factory_id"]})
    for etag in ("", '"stale"'):
        changed: Any = made.resource(port, "factory", ids["factory"], 0)
        changed.etag, changed.sprocket_production_goal = etag, chance.randrange(1000)
        yield _call(port, "UpdateFactory", factory=changed, validate_only=chance.random() < 0.2)


def _ends(chance: random.Random, port: Port, ids: dict[str, str]) -> Iterator[tuple[Method, Any]]:
    """Delete one by one or by cascade, with calls between that find what is in use or gone."""
    yield _call(port, "GetFactoryChart", factory_id=ids["factory"], max_points=chance.choice([0, 6]))
    yield _call(port, "DeleteLocation", id=ids["location"])
    yield _call(port, "BatchDeleteSprockets", ids=[ids["sprocket"]])
    yield _call(port, "DeleteSprocketType", id=ids["sprocket_type"], force=chance.random() < 0.8)
    yield _call(port, "DeleteLocation", id=ids["location"], force=chance.random() < 0.8)
    yield _call(port, "GetFactoryChart", factory_id=ids["factory"])
    yield _call(port, "BatchGetSprockets", ids=[ids["sprocket"]])


def _call(port: Port, name: str, **fields: object) -> tuple[Method, Any]:
    [method] = [each for each in port.methods.values() if each.name == name]
    return method, method.request(**fields)
