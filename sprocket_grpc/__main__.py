"""Runs the command line: `python -m sprocket_grpc`."""

from sprocket_grpc.cli import main

main()
