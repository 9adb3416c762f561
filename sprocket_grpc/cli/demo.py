"""`sprocket-grpc demo`: simulates the production of a factory, so that its chart changes."""

import random
import time
from collections import deque
from contextlib import suppress
from typing import Any

import click

from sprocket_grpc.cli.client.connection import Connection, connection_options
from sprocket_grpc.cli.client.errors import ClientError
from sprocket_grpc.cli.client.output import show
from sprocket_grpc.cli.copying import client_command
from sprocket_grpc.cli.resources.calls import Caller, connected_caller, timeout_option
from sprocket_grpc.cli.resources.catalogue import Method, catalogue
from sprocket_grpc.cli.resources.names import identify

TIMEOUT_SECONDS = 60
"""Long enough for the server to be replaced during a call."""

_PAUSE_SECONDS = 0.5
_GOALS, _DELETIONS = 0.06, 0.3
"""The shares of the changes; the others create sprockets."""

_SHORTFALL, _EXCESS = 4, 12
"""How far below and above the actual production a new goal may be."""


@click.command("demo")
@click.argument("factory_name", metavar="FACTORY")
@timeout_option(TIMEOUT_SECONDS)
@connection_options
def demo_command(factory_name: str, *, timeout: float, connection: Connection) -> None:
    """Simulate the production of FACTORY until Ctrl-C.

    FACTORY is an id, or the display name of exactly one factory. At most twice a second, the command creates a sprocket
    in it, deletes one that it has created, or changes the goal. Sprockets that others have created stay. In the end,
    the goal and the remaining sprockets stay as they are.
    """
    with connected_caller(connection, timeout) as caller:
        production = Production(caller, identify(caller.call, catalogue()["factory"], factory_name))
        show(f"{production.name} is producing; press Ctrl-C to stop. To see its chart, run in another terminal:\n")
        command = client_command(connection, "chart", production.factory_id, "--since", "5m", "--follow")
        show(f"  {command}\n")
        try:
            with suppress(KeyboardInterrupt):
                production.run()
        finally:
            show(f"{production.summary}\n")


class Production:
    """Changes of one factory, drawn at random.

    Attributes:
        factory_id: The id of the factory.
        name: Its display name.
    """

    def __init__(self, caller: Caller, factory_id: str) -> None:
        """Read the factory and a sprocket type.

        Raises:
            ClientError: There is no such factory or no sprocket type, or a call failed.
        """
        self._caller = caller
        self.factory_id = factory_id
        self.name: str = self._factory().display_name
        self._type_id = self._any_type()
        self._made: deque[str] = deque()
        self._created = self._deleted = self._goals = 0

    @property
    def summary(self) -> str:
        """What has been done."""
        return f"{self._created} sprockets created, {self._deleted} deleted, goal changed {self._goals} times"

    def run(self) -> None:
        """Change the factory again and again, without end.

        Raises:
            ClientError: A call failed.
        """
        while True:
            self.change(random.random())  # noqa: S311  # no secret
            time.sleep(_PAUSE_SECONDS)

    def change(self, drawn: float) -> None:
        """Make one change.

        Args:
            drawn: Selects the change: from 0 for a new goal, over a deletion, to 1 for a creation.

        Raises:
            ClientError: A call failed.
        """
        if drawn < _GOALS:
            self._set_goal()
        elif drawn < _GOALS + _DELETIONS and self._made:
            self._delete()
        else:
            self._create()

    def _create(self) -> None:
        name = f"Demo {self._created + 1}"
        method = _method("sprocket", "Create")
        fields = {"display_name": name, "factory_id": self.factory_id, "sprocket_type_id": self._type_id}
        response = self._caller.call(method, method.request(sprocket=fields))
        self._made.append(response.sprocket.id)
        self._created += 1

    def _delete(self) -> None:
        method = _method("sprocket", "Delete")
        # Another client may have deleted it.
        self._caller.call(method, method.request(id=self._made.popleft(), allow_missing=True))
        self._deleted += 1

    def _set_goal(self) -> None:
        actual = self._factory().sprocket_production_actual
        goal = max(0, actual + random.randint(-_SHORTFALL, _EXCESS))  # noqa: S311  # no secret
        method = _method("factory", "Update")
        request = method.request(factory={"id": self.factory_id, "sprocket_production_goal": goal})
        request.update_mask.paths.append("sprocket_production_goal")
        self._caller.call(method, request)
        self._goals += 1

    def _factory(self) -> Any:  # noqa: ANN401  # a message
        method = _method("factory", "Get")
        return self._caller.call(method, method.request(id=self.factory_id)).factory

    def _any_type(self) -> str:
        method = _method("sprocket_type", "List")
        found = self._caller.call(method, method.request(page_size=1)).sprocket_types
        if not found:
            raise ClientError("there is no sprocket type to produce; `sprocket-grpc create sprocket-type` creates one")
        return str(found[0].id)


def _method(resource: str, verb: str) -> Method:
    return catalogue()[resource.replace("_", "-")].methods[verb]
