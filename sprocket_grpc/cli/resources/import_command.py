"""`sprocket-grpc import`: resources from a file."""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from sprocket_grpc.cli.client.connection import Connection, connected, connection_options
from sprocket_grpc.cli.client.errors import ClientError
from sprocket_grpc.cli.client.output import full_disks_told
from sprocket_grpc.cli.resources.calls import Caller, timeout_option
from sprocket_grpc.cli.resources.catalogue import Resource
from sprocket_grpc.cli.resources.challenge import HISTORY_IS_LEFT_OUT, adapted, has_history, wrappers
from sprocket_grpc.cli.resources.importing import Importer, Plan
from sprocket_grpc.cli.resources.options import ResourceGroup, field_options, given, validate_only_option
from sprocket_grpc.cli.resources.reading import SUFFIXES, Line, read
from sprocket_grpc.cli.resources.report import Report, kept_file

TIMEOUT_SECONDS = 60
"""So long that a server may be replaced meanwhile."""

_PIECE = 1 << 20

_HELP = """Import {titles} from FILE.csv, FILE.json or FILE.jsonl, as `export` writes them.

    CSV has the names of fields in its first line; an empty cell is no value. JSON is an array of objects, objects
    one after the other, or the response of a list; a .jsonl has an object on each line. Options give the fields that a
    line does not have. What only the server sets is not read, and neither are ids but with --keep-ids.

    A file that was imported in part, as when the command or the server was killed, can be imported once more with the
    same options: what was written is found again and not written twice, for as long as the server remembers requests
    (24 hours). That holds for the same file: one that was changed is another.{challenge}
    """
_CHALLENGE = {
    "factory": """

    The factories of the coding challenge ({"factories": [{"factory": {"chart_data": ...}}]}) get the last goal of their
    chart, and --location-id says where they stand. Their history cannot be imported: the service records it itself.
    """,
    "sprocket_type": """

    The sprockets of the coding challenge ({"sprockets": [{"teeth": 5, "pitch": 1, ...}]}) are sprocket types.
    """,
}


class _File(NamedTuple):
    """A file to import.

    Attributes:
        path: Where it is.
        digest: The SHA-256 of its content.
        lines: How many it has.
    """

    path: Path
    digest: str
    lines: int


def _make_import(resource: Resource) -> click.Command:
    text = _HELP.format(titles=resource.titles, challenge=_CHALLENGE.get(resource.field, ""))

    @click.command(resource.names, help=text, short_help=f"Import {resource.titles} from a file.")
    @click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option(
        "--on-error",
        type=click.Choice(["stop", "continue"]),
        default="stop",
        show_default=True,
        help="Whether a bad line stops the import, or is left out. With continue, several are written at once.",
    )
    @click.option("--skip", type=click.IntRange(0), default=0, help="How many at the beginning of FILE to leave out.")
    @click.option(
        "--refused",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE.jsonl",
        help="Write what is refused there, to be corrected and imported by itself.",
    )
    @click.option("--keep-ids", is_flag=True, help="Take the ids of the file, one by one; overwrite what has them.")
    @field_options(resource)
    @validate_only_option
    @timeout_option(TIMEOUT_SECONDS)
    @connection_options
    def command(  # so many options
        *,
        path: Path,
        on_error: str,
        skip: int,
        refused: Path | None,
        keep_ids: bool,
        validate_only: bool,
        timeout: float,
        connection: Connection,
        **options: Any,  # noqa: ANN401  # values of fields
    ) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise click.UsageError(f"FILE has to end with one of {', '.join(SUFFIXES)}")
        file, defaults = _inspected(path), given(options)
        key = json.dumps([file.digest, resource.field, keep_ids, skip, defaults], sort_keys=True)
        plan = Plan(resource, key, keep_ids, on_error == "stop", validate_only)
        with connected(connection) as server, full_disks_told(), kept_file(refused) as kept:
            report = Report(path, kept, skip)
            importer = Importer(Caller(server, timeout), plan)
            _import(importer, plan, file, _lines(resource, path, skip, defaults), report)
        if not report.is_good:
            raise SystemExit(1)

    return command


import_command = ResourceGroup("import", "Create", _make_import, "Import resources from a CSV or JSON file.")


def _inspected(path: Path) -> _File:
    digest, lines = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                lines += piece.count(b"\n")
    except OSError as error:
        raise ClientError(f"cannot read {path}: {error.strerror or error}") from error
    return _File(path, digest.hexdigest(), lines + 1)


def _lines(resource: Resource, path: Path, skip: int, defaults: Mapping[str, Any]) -> Iterator[Line]:
    told = False
    for position, line in enumerate(read(path, resource, wrappers(resource)), start=1):
        if position <= skip:
            continue
        if has_history(line) and not told:
            click.echo(HISTORY_IS_LEFT_OUT, err=True)
            told = True
        shaped = adapted(resource, position, line)
        yield shaped if shaped.problem else shaped._replace(values={**defaults, **shaped.values})


def _import(importer: Importer, plan: Plan, file: _File, lines: Iterator[Line], report: Report) -> None:
    label = f"importing {file.path}"
    try:
        with click.progressbar(length=file.lines, label=label, file=sys.stderr, show_pos=True) as bar:
            for outcome in importer.run(lines):
                report.add(outcome)
                bar.update(max(outcome.last_line - bar.pos, 0))
                if outcome.refusals and plan.stops:
                    raise report.stopped(outcome)
            bar.update(max(file.lines - bar.pos, 0))
    finally:
        click.echo(report.summary(validate_only=plan.validate_only))
