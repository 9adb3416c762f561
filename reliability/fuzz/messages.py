"""Makes requests from their descriptors: each field valid, or odd with a chance that the request draws."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from reliability.fuzz.port import Method
from reliability.fuzz.texts import ODD_IDS, filter_text, new_id, odd_text, order_text
from reliability.fuzz.world import KINDS, World

_Field: TypeAlias = Any
"""A FieldDescriptor. Its types say that a field of a message may have no message type."""

_ODDNESS = [0, 0, 0, 0.05, 0.3, 1]
_DEEPEST = 3
_ABSENT = 0.35
_LONG_LIST = 0.01
_SMALL = [0, 1, 2, 7, 50, 1000]
_INTEGERS = [0, 1, -1, 5, 6, 1001, 10_001, 20_000, 20_001, 2**31 - 1, -(2**31), 2**32, 2**63 - 1, -(2**63), 2**64 - 1]
_FLOATS = [0.0, -0.0, 1.5, -1.0, 5e-324, 1.7976931348623157e308, float("inf"), float("-inf"), float("nan")]
_SECONDS = [
    0,
    1,
    1_700_000_000,
    1_800_000_000,
    253_402_300_799,
    253_402_300_800,
    -62_135_596_800,
    -62_135_596_801,
    2**63 - 1,
]
_NANOS = [0, 0, 1, 999_999_999, 1_000_000_000, -1, -(2**31)]
_SYMBOLS = ["", "liveness", "readiness", "sprocket.v1.Factory", "sprocket.v1.FactoryService", "grpc.health.v1.Health"]
_WIDTH = {FieldDescriptor.CPPTYPE_INT32: 32, FieldDescriptor.CPPTYPE_INT64: 64}
_UNSIGNED = {FieldDescriptor.CPPTYPE_UINT32: 32, FieldDescriptor.CPPTYPE_UINT64: 64}
_FRACTIONS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)


class Maker:
    """Makes the requests of one call, all of them by the same random numbers."""

    def __init__(self, chance: random.Random, world: World, method: Method, oddness: float | None = None) -> None:
        """Begin a call.

        Args:
            chance: Decides everything.
            world: What the requests may refer to.
            method: The method to call.
            oddness: The chance of each field to be odd; drawn if None.
        """
        self._chance = chance
        self._world = world
        self._method = method
        self._oddness = chance.choice(_ODDNESS) if oddness is None else oddness
        self._fields = _fields_of_results(method)
        self._by_name: Mapping[str, Callable[[], str]] = {
            "filter": lambda: filter_text(chance, self._fields),
            "order_by": lambda: order_text(chance, self._fields),
            "page_token": lambda: chance.choice(world.tokens),
            "resume_token": lambda: chance.choice(world.tokens),
            "etag": lambda: chance.choice(world.etags),
            "request_id": self._request_id,
            "country_code": lambda: "DE",
        }

    def request(self) -> bytes:
        """Return the bytes of a request."""
        return self._message(self._method.request, 0).SerializeToString()

    def _message(self, made_by: type[Message], depth: int) -> Message:
        message: Any = made_by()
        descriptor: Descriptor = message.DESCRIPTOR
        for field in self._chosen(descriptor, depth):
            if field.is_repeated:
                getattr(message, field.name).extend(self._value(field, message, depth) for _ in range(self._length()))
            elif field.message_type:
                getattr(message, field.name).CopyFrom(self._value(field, message, depth))
            else:
                setattr(message, field.name, self._value(field, message, depth))
        return message  # type: ignore[no-any-return]  # a class that is made at run time

    def _chosen(self, descriptor: Descriptor, depth: int) -> Sequence[_Field]:
        """Return the fields to set: those of a resource nearly always, others and one of each oneof by chance."""
        oneofs = [self._chance.choice(each.fields) for each in descriptor.oneofs]
        resource = _kind(descriptor.name) in KINDS
        absent = self._oddness / 4 if resource or _is_key(descriptor) else _ABSENT
        free = [field for field in descriptor.fields if not field.containing_oneof and field not in oneofs]
        flat = [field for field in free if depth < _DEEPEST or not field.message_type]
        return [*oneofs, *(field for field in flat if _is_main(field) or self._chance.random() >= absent)]

    def _length(self) -> int:
        if self._chance.random() < _LONG_LIST * (1 + self._oddness):
            return self._chance.choice([100, 1_000, 1_001, 3_000])
        return self._chance.choice([0, 1, 1, 2, 3, 5])

    def _value(self, field: _Field, parent: Message, depth: int) -> Any:  # noqa: ANN401  # of any field
        odd = self._chance.random() < self._oddness
        if field.message_type:
            return self._inner(field, parent, depth, odd=odd)
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return self._bytes() if field.type == FieldDescriptor.TYPE_BYTES else self._text(field, odd=odd)
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return self._chance.random() < 0.3  # less often than not
        if field.cpp_type in _FRACTIONS:
            return self._chance.choice(_FLOATS) if odd else self._chance.uniform(0.1, 100)
        if field.enum_type:
            return self._chance.choice([each.number for each in field.enum_type.values])
        return self._integer(field, odd=odd)

    def _inner(self, field: _Field, parent: Message, depth: int, *, odd: bool) -> Message:
        made_by = GetMessageClass(field.message_type)
        if field.message_type.name == "Timestamp":
            seconds, nanos = (self._chance.choice(each) for each in (_SECONDS, _NANOS))
            return made_by(seconds=seconds, nanos=nanos) if odd else made_by(seconds=1_700_000_000)
        if field.message_type.name == "FieldMask":
            return made_by(paths=self._paths(parent, odd=odd))
        return self._message(made_by, depth + 1)

    def _paths(self, parent: Message, *, odd: bool) -> Sequence[str]:
        if odd:
            return [odd_text(self._chance), self._chance.choice(["*", "id", "etag", "factory.id", "a,b", "aB"])]
        fields: Mapping[str, _Field] = parent.DESCRIPTOR.fields_by_name
        names = [name for kind in KINDS if kind in fields for name in fields[kind].message_type.fields_by_name]
        return self._chance.choice([["*"], [], self._chance.sample(names, min(2, len(names)))])

    def _text(self, field: _Field, *, odd: bool) -> str:
        if _refers(field):
            return self._identifier(field, odd=odd)
        if odd:
            return odd_text(self._chance)
        if field.name in self._by_name:
            return self._by_name[field.name]()
        if not field.containing_type.full_name.startswith("sprocket."):
            return self._chance.choice(_SYMBOLS)
        return f"{field.name} {self._chance.randrange(100)}"

    def _identifier(self, field: _Field, *, odd: bool) -> str:
        if odd:
            return self._chance.choice([*ODD_IDS, odd_text(self._chance)])
        if self._chance.random() < 0.1:  # now and then an id of nothing
            return new_id(self._chance)
        return self._chance.choice(self._world.ids[self._target(field)])

    def _target(self, field: _Field) -> str:
        """Return the kind of resource whose id a field holds."""
        for kind in KINDS:
            if field.name.startswith(f"{kind}_id") or _kind(field.containing_type.name) == kind:
                return kind
        named = [kind for kind in KINDS if f"{kind.replace('_', '')}service" in self._method.service.lower()]
        return named[-1] if named else self._chance.choice(KINDS)

    def _request_id(self) -> str:
        few = random.Random(self._chance.randrange(20))  # no secret
        return new_id(self._chance if self._chance.random() < 0.7 else few)

    def _bytes(self) -> bytes:
        return self._chance.randbytes(self._chance.choice([0, 1, 100]))

    def _integer(self, field: _Field, *, odd: bool) -> int:
        value: int = self._chance.choice(_INTEGERS if odd else _SMALL)
        if field.cpp_type in _UNSIGNED:
            return value % (1 << _UNSIGNED[field.cpp_type])
        half = 1 << (_WIDTH[field.cpp_type] - 1)
        return (value + half) % (2 * half) - half


def _kind(name: str) -> str:
    """Return the kind of resource that a message with this name would be."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def _refers(field: _Field) -> bool:
    return field.name in ("id", "ids") or (field.name.endswith(("_id", "_ids")) and field.name != "request_id")


def _is_key(descriptor: Descriptor) -> bool:
    return len(descriptor.fields) == 1


def _is_main(field: _Field) -> bool:
    """Whether a request makes no sense without a field."""
    return field.name in KINDS or field.name in ("id", "ids", "factory_id", "factory_ids", "sprockets")


def _fields_of_results(method: Method) -> Sequence[str]:
    """Return the fields by which the results of a list can be filtered."""
    for field in method.response.DESCRIPTOR.fields:
        if field.is_repeated and field.message_type:
            return list(field.message_type.fields_by_name)
    return ["id", "display_name", "create_time"]
