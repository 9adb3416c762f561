"""A pytest plugin for .ci/previous: the databases of these tests are migrated by the command of another version.

MIGRATING_COMMAND is that command. With MIGRATING_DOWN_TO, its migrations are then reverted to that revision.
"""

import os
import subprocess

from sprocket_grpc.storage import migrate


def upgrade(url: str) -> None:
    """Migrate a database like `migrate.upgrade`, but by the command."""
    down_to = os.environ.get("MIGRATING_DOWN_TO")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for options in ([], ["--down", down_to] if down_to else ["--check"]):
        subprocess.run(  # noqa: S603  # our own command
            [os.environ["MIGRATING_COMMAND"], "migrate", *options],
            env=environment | {"SPROCKET_DATABASE_URL": url},
            check=True,
            stdout=subprocess.DEVNULL,
        )


migrate.upgrade = upgrade
