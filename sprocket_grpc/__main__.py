"""Runs the command line: `sprocket-grpc`, or `python -m sprocket_grpc`."""

import sys

_OURS = ("sprocket", "sprocket_grpc")
_OF_CLIENTS = ("click", "google", "grpc_health", "grpc_status")


def main() -> None:
    """Run the command line, or say what to install where what a command needs is not."""
    try:
        from sprocket_grpc.cli.main import main as run  # noqa: PLC0415  # what it needs may not be installed

        run()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in _OURS:
            raise
        clients = ", or for clients alone 'sprocket-grpc[cli]'" if package in _OF_CLIENTS else ""
        sys.exit(
            f"Error: {error.name} is not installed: the command needs pip install 'sprocket-grpc[server]'{clients}"
        )


if __name__ == "__main__":
    main()
