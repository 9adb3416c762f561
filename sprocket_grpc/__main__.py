"""Runs the command line: `sprocket-grpc`, or `python -m sprocket_grpc`."""

import sys

_OURS = ("sprocket", "sprocket_grpc")


def main() -> None:
    """Run the command line, or say what to install where only the contract is."""
    try:
        from sprocket_grpc.cli import main as run  # noqa: PLC0415  # what it needs may not be installed
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in _OURS:
            raise
        sys.exit(f"Error: {error.name} is not installed: the command needs pip install 'sprocket-grpc[server]'")
    run()


if __name__ == "__main__":
    main()
