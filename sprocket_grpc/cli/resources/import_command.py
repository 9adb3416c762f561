"""`sprocket-grpc import`: writes the resources of a file to a server."""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from sprocket_grpc.cli.client.connection import Connection, connection_options
from sprocket_grpc.cli.client.errors import ClientError
from sprocket_grpc.cli.client.output import printable, show, warn
from sprocket_grpc.cli.resources.calls import connected_caller, timeout_option
from sprocket_grpc.cli.resources.catalogue import Resource
from sprocket_grpc.cli.resources.challenge import HISTORY_IS_LEFT_OUT, adapted, has_history, wrappers
from sprocket_grpc.cli.resources.files import DASH, Source, delimiter_option, format_option, opened_source
from sprocket_grpc.cli.resources.import_batch import Plan
from sprocket_grpc.cli.resources.importing import Importer
from sprocket_grpc.cli.resources.options import ResourceGroup, field_options, given, validate_only_option
from sprocket_grpc.cli.resources.reading import Line, read
from sprocket_grpc.cli.resources.report import Report, open_refused_file

TIMEOUT_SECONDS = 60
"""Long enough for the server to be replaced during a call."""

_INTERRUPTED = (
    "interrupted; to continue, repeat the command with the same file and options: "
    "resources that are already written are not written again"
)
_PIECE = 1 << 20

_HELP = """Import {titles} from FILE.csv, FILE.json or FILE.jsonl, as `export` writes them; - means standard input.

    CSV has the names of the fields in its first line, and commas, semicolons or tabs between its cells; an empty cell
    leaves a field unset. JSON is an array of objects, consecutive objects, or the response of a List; JSONL has one
    object per line. Options set the fields that are missing from a line. Fields that only the server sets are ignored,
    and so are ids without --keep-ids.

    If an import is interrupted, repeat it with the same file and options: resources that are already written are not
    written again, as long as the server keeps request_ids (24 hours by default). A file that has changed counts as
    another file.{challenge}
    """
_CHALLENGE = {
    "factory": """

    The factories of the coding challenge ({"factories": [{"factory": {"chart_data": ...}}]}) get the last goal of their
    chart; --location-id sets their location. Their history cannot be imported, because the service records charts
    itself.
    """,
    "sprocket_type": """

    The sprockets of the coding challenge ({"sprockets": [{"teeth": 5, "pitch": 1, ...}]}) are sprocket types here.
    """,
}


class _File(NamedTuple):
    """A file to import.

    Attributes:
        source: Where it is.
        digest: The SHA-256 of its content.
        lines: The number of its lines.
    """

    source: Source
    digest: str
    lines: int


def _make_import(resource: Resource) -> click.Command:
    text = _HELP.format(titles=resource.titles, challenge=_CHALLENGE.get(resource.field, ""))

    @click.command(resource.names, help=text, short_help=f"Import {resource.titles} from a file.")
    @click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
    @format_option
    @delimiter_option("the first comma, semicolon or tab in FILE")
    @click.option(
        "--on-error",
        type=click.Choice(["stop", "continue"]),
        default="stop",
        show_default=True,
        help="Stop at the first refused line, or skip refused lines. Lines are written in batches of 500, several "
        "at a time, so their order may change, and lines after a refused one may be written already.",
    )
    @click.option(
        "--skip", type=click.IntRange(0), default=0, help="Skip this many resources at the beginning of FILE."
    )
    @click.option(
        "--refused",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE.jsonl",
        help="Write the refused lines to this file, to be corrected and imported separately.",
    )
    @click.option(
        "--keep-ids",
        is_flag=True,
        help="Keep the ids of the file, and overwrite resources that have them. One request per resource.",
    )
    @field_options(resource)
    @validate_only_option
    @timeout_option(TIMEOUT_SECONDS)
    @connection_options
    def command(  # one argument per option
        *,
        file: str,
        format_: str | None,
        delimiter: str | None,
        on_error: str,
        skip: int,
        refused: Path | None,
        keep_ids: bool,
        validate_only: bool,
        timeout: float,
        connection: Connection,
        **options: Any,  # noqa: ANN401  # values of fields
    ) -> None:
        if refused and refused.exists() and file != DASH and refused.samefile(file):
            raise click.UsageError("--refused: expected another file than FILE")
        defaults = given(options)
        with (
            opened_source(file, format_, delimiter) as source,
            connected_caller(connection, timeout) as caller,
            open_refused_file(refused) as refused_file,
        ):
            inspected = _inspected(source)
            key = json.dumps([inspected.digest, resource.field, keep_ids, skip, defaults], sort_keys=True)
            plan = Plan(resource, key, keep_ids, on_error == "stop", validate_only)
            report = Report(source.name, refused_file, skip)
            importer = Importer(caller, plan)
            _import(importer, plan, inspected, _lines(resource, source, skip, defaults), report)
        if not report.is_good:
            raise SystemExit(1)

    return command


import_command = ResourceGroup("import", "BatchCreate", _make_import, "Import resources from a CSV or JSON file.")


def _inspected(source: Source) -> _File:
    digest, lines = hashlib.sha256(), 0
    try:
        with source.path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                lines += piece.count(b"\n")
    except OSError as error:
        raise ClientError(f"cannot read {source.name}: {error.strerror or error}") from error
    return _File(source, digest.hexdigest(), lines + 1)


def _lines(resource: Resource, source: Source, skip: int, defaults: Mapping[str, Any]) -> Iterator[Line]:
    has_warned = False
    for position, line in enumerate(read(source, resource, wrappers(resource)), start=1):
        if position <= skip:
            continue
        if has_history(line) and not has_warned:
            warn(HISTORY_IS_LEFT_OUT)
            has_warned = True
        converted = adapted(resource, position, line)
        yield converted if converted.problem else converted._replace(values={**defaults, **converted.values})


def _import(importer: Importer, plan: Plan, file: _File, lines: Iterator[Line], report: Report) -> None:
    label = printable(f"importing {file.source.name}")
    try:
        with click.progressbar(length=file.lines, label=label, file=sys.stderr, show_pos=True) as bar:
            for outcome in importer.run(lines):
                report.add(outcome)
                bar.update(max(outcome.last_line - bar.pos, 0))
            if plan.stops and (stopped := report.stopped()):
                raise stopped
            bar.update(max(file.lines - bar.pos, 0))
    except KeyboardInterrupt as error:
        raise ClientError(_INTERRUPTED) from error
    finally:
        show(f"{report.summary(validate_only=plan.validate_only)}\n")
