"""Runs the command line: `sprocket-grpc`, or `python -m sprocket_grpc`."""

import sys

from sprocket_grpc.cli.libraries import is_own_module, root_package

_CLIENT_LIBRARIES = {"click", "google", "grpc_health"}


def main() -> None:
    """Run the command line. If a library is missing, say how to install it and exit with status 1."""
    try:
        from sprocket_grpc.cli.main import main as run  # noqa: PLC0415  # its libraries may not be installed

        run()
    except ModuleNotFoundError as error:
        if is_own_module(error):
            raise
        clients = (
            ", or 'sprocket-grpc[cli]' for client commands only" if root_package(error) in _CLIENT_LIBRARIES else ""
        )
        sys.exit(f"Error: {error.name} is not installed: run pip install 'sprocket-grpc[server]'{clients}")


if __name__ == "__main__":
    main()
