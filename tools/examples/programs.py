"""Which example programs there are, what each needs, and how it is built and started."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

EXAMPLES = Path(__file__).parent.parent.parent / "examples"

Command: TypeAlias = tuple[str | Path, ...]


@dataclass(frozen=True)
class Program:
    """An example program.

    Attributes:
        name: Its language, as people call it.
        directory: Where it is.
        start: Runs it.
        version: Prints the version of its toolchain.
        build: Builds it, one after the other; does nothing when it is built already.
        needs: The programs and files that must be there to build it, and for each the Debian package that brings it.
    """

    name: str
    directory: Path
    start: Command
    version: Command
    build: tuple[Command, ...] = ()
    needs: dict[str, str] = field(default_factory=dict)

    def missing(self) -> list[str]:
        """Return what has to be installed first."""
        return list(dict.fromkeys(brings for need, brings in self.needs.items() if not _is_there(need)))


def programs(python: Path) -> Iterator[Program]:
    """Give all of them.

    Args:
        python: The Python of an environment that has what a client has.
    """
    for name, file in (("Python", "sync_client.py"), ("Python, asyncio", "aio_client.py")):
        yield Program(name, EXAMPLES / "python", (python, "-I", file), (python, "--version"))
    yield Program(
        "TypeScript",
        EXAMPLES / "node",
        ("node", "build/client.js"),
        ("node", "--version"),
        (("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"), ("npm", "run", "--silent", "build")),
        {"node": "nodejs", "npm": "npm"},
    )
    yield Program("Go", EXAMPLES / "go", ("build/client",), ("go", "version"), (("make",),), _GO)
    yield Program("Ruby", EXAMPLES / "ruby", ("ruby", "client.rb"), ("ruby", "--version"), (("make",),), _RUBY)
    yield Program("C++", EXAMPLES / "cpp", ("build/client",), ("g++", "--version"), (("make", "-j2"),), _CPP)


_PROTOC = {"protoc": "protobuf-compiler"}
_GO = _PROTOC | {
    "go": "golang-go",
    "/usr/bin/protoc-gen-go": "protoc-gen-go-1-3",
    "/usr/share/gocode/src/google.golang.org/grpc": "golang-google-grpc-dev",
    "/usr/share/gocode/src/google.golang.org/genproto": "golang-google-genproto-dev",
    "/usr/share/gocode/src/github.com/google/uuid": "golang-github-google-uuid-dev",
}
_RUBY = _PROTOC | {
    "ruby": "ruby",
    "grpc_ruby_plugin": "protobuf-compiler-grpc",
    "/usr/lib/*/rubygems-integration/*/gems/grpc-*": "ruby-grpc",
    "/usr/share/rubygems-integration/all/gems/googleapis-common-protos-types-*": "ruby-googleapis-common-protos-types",
}
_CPP = _PROTOC | {
    "g++": "g++",
    "pkg-config": "pkg-config",
    "grpc_cpp_plugin": "protobuf-compiler-grpc",
    "/usr/include/grpcpp": "libgrpc++-dev",
}


def _is_there(need: str) -> bool:
    if need.startswith("/"):
        return any(Path("/").glob(need[1:]))
    return shutil.which(need) is not None
