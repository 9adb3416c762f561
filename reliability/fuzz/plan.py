"""Which calls a seed stands for: each follows from the seed and its number alone, save tokens and etags."""

import random
from collections.abc import Sequence

from reliability.fuzz.bodies import odd_body, odd_headers
from reliability.fuzz.calls import Request
from reliability.fuzz.headers import odd_metadata
from reliability.fuzz.messages import Maker
from reliability.fuzz.port import Metadata, Method, Port
from reliability.fuzz.story import story
from reliability.fuzz.wire import mutate
from reliability.fuzz.world import World

_KINDS = ["fields"] * 10 + ["bytes"] * 5 + ["metadata"] * 2 + ["body"] + ["story"]
_TIMEOUTS = [0, 1e-9, 0.001, 0.01, 1, 1e8]
_UNKNOWN_PATHS = ["Nothing", "", "getlocation", "GetLocation/", "x" * 500]
_RESTORE_EVERY = 1_000


class Plan:
    """The calls of a seed."""

    def __init__(self, seed: int, port: Port, keys: Sequence[Metadata]) -> None:
        """Make the plan.

        Args:
            seed: The seed.
            port: What the port serves.
            keys: The credentials of the callers, who take turns.
        """
        self.world = World.of_seed(seed)
        self._seed = seed
        self._port = port
        self._keys = keys
        self._methods = list(port.methods.values())

    def restoration(self) -> list[Request]:
        """Return the calls that create what the world is to have, one after the other."""
        return [Request("world", method, self._keys[0], data) for method, data in self.world.creations(self._port)]

    def requests(self, number: int) -> list[Request]:
        """Return the calls with a number, to be made one after the other."""
        if number % _RESTORE_EVERY == 0:
            return self.restoration()
        chance = random.Random(f"{self._seed}:{number}")  # no secret
        kind, key = chance.choice(_KINDS), self._keys[number % len(self._keys)]
        if kind == "story":
            steps = story(chance, self._port, self.world)
            return [Request(f"{number} story", method, key, data) for method, data in steps]
        return [self._request(chance, f"{number} {kind}", chance.choice(self._methods), key)]

    def _request(self, chance: random.Random, name: str, method: Method, key: Metadata) -> Request:
        message = Maker(chance, self.world, method).request()
        if name.endswith("bytes"):
            return Request(name, method, key, mutate(chance, message))
        if name.endswith("body"):
            return Request(name, method, odd_headers(chance, key), body=odd_body(chance, message))
        if name.endswith("metadata"):
            timeout = chance.choice([None, None, chance.choice(_TIMEOUTS)])
            return Request(name, _perhaps_unknown(chance, method), odd_metadata(chance, key), message, timeout=timeout)
        return Request(name, method, key, message)


def _perhaps_unknown(chance: random.Random, method: Method) -> Method:
    if chance.random() > 0.05:  # a few suffice
        return method
    path = f"/{method.service}/{chance.choice(_UNKNOWN_PATHS)}"
    return Method(path, method.request, method.response, method.client_streaming, method.server_streaming)
