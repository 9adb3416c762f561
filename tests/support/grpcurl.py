"""Parses the grpcurl commands and answers in documents, and runs the commands with grpcurl or `buf curl`.

The tests use grpcurl if it is installed. Otherwise they use `buf curl`, since no package index that the project uses
has grpcurl.
"""

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2

PATIENCE_SECONDS = 60
BUF = Path(sys.executable).parent / "buf"

# The options of grpcurl that documents may use, and the equivalent options of buf.
_FLAGS = {"-plaintext": "--http2-prior-knowledge", "-emit-defaults": "--emit-defaults"}
_OPTIONS = {
    "-H": "--header",
    "-cacert": "--cacert",
    "-cert": "--cert",
    "-d": "--data",
    "-import-path": "--schema",
    "-key": "--key",
    "-max-time": "--timeout",
    "-proto": None,  # not needed: buf reads all files of its schema
}


def _to_protobuf_json(data: str) -> str:
    """Convert a field mask to protobuf's JSON, a string; grpcurl expects a list of paths instead (grpcurl#393)."""
    request = json.loads(data)
    if "update_mask" in request:
        request["update_mask"] = ",".join(map(_to_camel_case, request["update_mask"]["paths"]))
    return json.dumps(request)


def _to_camel_case(name: str) -> str:
    return re.sub("_([a-z0-9])", lambda match: match[1].upper(), name)


_VALUES: Mapping[str, Callable[[str], str]] = {"-d": _to_protobuf_json, "-max-time": "{}s".format}


@dataclass(frozen=True)
class Command:
    """A grpcurl command.

    Attributes:
        flags: The options without a value.
        options: The options with their values.
        address: The address of the server.
        method: The method, such as `sprocket.v1.FactoryService/GetFactory`, or `list`.
        service: The service whose methods are listed; None to list services.
    """

    flags: Sequence[str]
    options: Sequence[tuple[str, str]]
    address: str
    method: str
    service: str | None = None

    @property
    def request(self) -> Any:  # any JSON value
        """The request, as protobuf's JSON."""
        return json.loads(_to_protobuf_json(dict(self.options).get("-d", "{}")))

    def arguments(self) -> list[str]:
        """Return the command line for grpcurl."""
        options = [word for option in self.options for word in option]
        return ["grpcurl", *self.flags, *options, self.address, self.method, *([self.service] if self.service else [])]

    def for_buf(self) -> list[str]:
        """Return the command line for `buf curl`, with the translation that docs/grpcurl.md documents."""
        options = [*map(_FLAGS.__getitem__, self.flags), "--protocol=grpc"]
        for name, value in self.options:
            if translated := _OPTIONS[name]:
                options += [translated, _VALUES.get(name, str)(value)]
        url = f"{'http' if '-plaintext' in self.flags else 'https'}://{self.address}"
        if self.method != "list":
            return [str(BUF), "curl", *options, f"{url}/{self.method}"]
        return [str(BUF), "curl", *options, "--list-methods" if self.service else "--list-services", url]


def parse_command(words: Sequence[str]) -> Command:
    """Parse a grpcurl command.

    Raises:
        ValueError: The command is not grpcurl, or has an unsupported option.
    """
    if words[0] != "grpcurl":
        raise ValueError(f"not grpcurl: {words}")
    rest, flags, options = list(words[1:]), [], []
    while rest and rest[0].startswith("-"):
        name = rest.pop(0)
        if name in _FLAGS:
            flags.append(name)
        elif name in _OPTIONS and rest:
            options.append((name, rest.pop(0)))
        else:
            raise ValueError(f"unsupported option of grpcurl: {name}")
    if not (len(rest) == 2 or (len(rest) == 3 and rest[1] == "list")):
        raise ValueError(f"expected an address and a method, got {rest}")
    return Command(flags, options, *rest)


@dataclass(frozen=True)
class Answer:
    """The answer to a call.

    Attributes:
        lines: The listed services or methods.
        messages: The responses, with field names as in the contract.
        code: The code of the error, such as `NotFound`; None without an error.
        text: The message of the error.
        details: The details of the error, each with its `@type`.
    """

    lines: list[str] = field(default_factory=list)
    messages: list[Any] = field(default_factory=list)
    code: str | None = None
    text: str | None = None
    details: list[Any] = field(default_factory=list)

    def comparable(self) -> dict[str, Any]:
        """Return the parts that are always the same. Client or server may detect a deadline first, and texts differ."""
        error = {} if self.code == "DeadlineExceeded" else {"text": self.text, "details": self.details}
        return {"lines": self.lines, "messages": self.messages, "code": self.code, **error}


def parse_answer(text: str) -> Answer:
    """Parse the output of grpcurl."""
    output, _, error = text.partition("ERROR:\n")
    if output.strip() and not output.startswith("{"):
        return Answer(lines=output.split())
    if not error:
        return Answer(messages=_read_all(output))
    found = re.fullmatch(r"  Code: (\w+)\n  Message: (.*?)\n(?:  Details:\n(.*))?", error, re.DOTALL)
    assert found, error
    details = [json.loads(each) for each in re.findall(r"^  \d+\)\t(.*)$", found[3] or "", re.MULTILINE)]
    return Answer(messages=_read_all(output), code=found[1], text=found[2], details=details)


def call(command: Command, directory: Path) -> Answer:
    """Run a command in a directory, with grpcurl if it is installed, otherwise with buf."""
    if shutil.which("grpcurl"):
        done = _run(command.arguments(), directory)
        return parse_answer(done.stdout + done.stderr)
    done = _run(command.for_buf(), directory)
    if command.method == "list":
        lines = [line.replace("/", ".") for line in done.stdout.split()]
        return Answer(lines=[line for line in lines if not command.service or line.startswith(f"{command.service}.")])
    messages = _read_all(done.stdout)
    if not done.stderr:
        return Answer(messages=messages)
    error = json.loads(done.stderr)
    code = error["code"].title().replace("_", "")
    return Answer([], messages, code, error["message"], [_decode(each) for each in error.get("details", [])])


def _run(arguments: Sequence[str], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, capture_output=True, check=False, cwd=directory, text=True, timeout=PATIENCE_SECONDS
    )


def _read_all(text: str) -> list[Any]:
    """Parse consecutive JSON documents."""
    messages, decoder = [], json.JSONDecoder()
    while text := text.lstrip():
        message, end = decoder.raw_decode(text)
        messages.append(_with_snake_case_names(message))
        text = text[end:]
    return messages


def _with_snake_case_names(value: Any) -> Any:  # any JSON value
    """Convert field names to snake_case; grpcurl prints snake_case or camelCase, depending on its version."""
    if isinstance(value, Mapping):
        return {
            re.sub("(?<=[a-z])([A-Z])", lambda match: f"_{match[1].lower()}", name): _with_snake_case_names(each)
            for name, each in value.items()
        }
    return [_with_snake_case_names(each) for each in value] if isinstance(value, list) else value


def _decode(detail: Mapping[str, str]) -> Any:  # any JSON value
    message = getattr(error_details_pb2, detail["type"].removeprefix("google.rpc."))()
    message.ParseFromString(base64.b64decode(detail["value"] + "=="))
    return {"@type": f"type.googleapis.com/{detail['type']}"} | MessageToDict(message, preserving_proto_field_name=True)
