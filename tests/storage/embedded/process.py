"""Runs an embedded PostgreSQL until its standard input ends or SIGINT arrives: the process that tests kill."""

import sys
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from sprocket_grpc.storage.embedded import embedded_postgres


def main(directory: Path) -> None:
    with embedded_postgres(directory, durable=False) as url:
        try:
            say(url)
            sys.stdin.read()
        except KeyboardInterrupt:
            with psycopg.connect(host=str(make_url(url).query["host"]), user="postgres", dbname="postgres"):
                say("the server is still running")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
