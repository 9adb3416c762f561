"""What requests can refer to: ids that follow from the seed, and tokens and etags that the server issued."""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from reliability.fuzz.port import Method, Port
from reliability.fuzz.texts import new_id

KINDS = ("location", "sprocket_type", "factory", "sprocket")
"""The resources, each after those that it refers to."""

_COUNTS = {"location": 6, "sprocket_type": 6, "factory": 8, "sprocket": 40}
_KEPT = 20
_TEXTS = {"country_code": "US", "postal_code": "62701"}
_NUMBERS = {"teeth": 20, "pitch_mm": 1.5, "pitch_diameter_mm": 9.5, "outside_diameter_mm": 10.5}


@dataclass
class World:
    """What requests can refer to.

    Attributes:
        ids: The ids of resources that exist most of the time, by kind.
        tokens: The last page and resume tokens; always as many, so that each choice takes as many random numbers.
        etags: The last etags, likewise.
    """

    ids: dict[str, Sequence[str]]
    tokens: deque[str] = field(default_factory=lambda: deque([""] * _KEPT, _KEPT))
    etags: deque[str] = field(default_factory=lambda: deque([""] * _KEPT, _KEPT))

    @classmethod
    def of_seed(cls, seed: int) -> "World":
        """Return the world of a seed, which has the same ids every time."""
        chance = random.Random(seed)  # no secret
        return cls({kind: [new_id(chance) for _ in range(count)] for kind, count in _COUNTS.items()})

    def learn(self, method: Method, contents: Sequence[bytes]) -> None:
        """Keep the tokens and the etags of responses."""
        for response in map(method.response.FromString, contents):
            names = response.DESCRIPTOR.fields_by_name
            tokens = [getattr(response, name) for name in ("next_page_token", "resume_token") if name in names]
            etags = [getattr(response, kind).etag for kind in KINDS if kind in names]
            self.tokens.extend(filter(None, tokens))
            self.etags.extend(filter(None, etags))

    def creations(self, port: Port) -> Iterator[tuple[Method, bytes]]:
        """Yield the calls that create all resources that do not exist, in an order in which they succeed."""
        for kind in KINDS:
            name = kind.title().replace("_", "")
            method = port.methods[f"/sprocket.v1.{name}Service/Update{name}"]
            for index, identifier in enumerate(self.ids[kind]):
                message = self.resource(port, kind, identifier, index)
                request: Any = method.request(allow_missing=True)
                getattr(request, kind).CopyFrom(message)
                yield method, request.SerializeToString()

    def resource(self, port: Port, kind: str, identifier: str, index: int) -> Message:
        """Return a valid resource, whose references are chosen by its index."""
        made: Any = port.message(kind.title().replace("_", ""))(id=identifier)
        for name in made.DESCRIPTOR.fields_by_name:
            if name.endswith("_id"):
                targets = self.ids[name.removesuffix("_id")]
                setattr(made, name, targets[index % len(targets)])
            elif name in _NUMBERS:
                setattr(made, name, _NUMBERS[name])
            elif name in ("display_name", "address", "city", *_TEXTS):
                setattr(made, name, _TEXTS.get(name, f"{kind} {index}"))
        return made  # type: ignore[no-any-return]  # a class that is made at run time
