"""The example programs: their requirements, and the commands that build and start them."""

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
        name: The language.
        directory: The directory of the program.
        start: The command that runs it.
        version: The command that prints the version of its toolchain.
        build: The commands that build it, in order; they do nothing if it is up to date.
        needs: The programs and files that the build needs, and the Debian package of each.
    """

    name: str
    directory: Path
    start: Command
    version: Command
    build: tuple[Command, ...] = ()
    needs: dict[str, str] = field(default_factory=dict)

    def missing(self) -> list[str]:
        """Return the Debian packages that have to be installed first."""
        return list(dict.fromkeys(package for need, package in self.needs.items() if not _is_installed(need)))


def programs(python: Path) -> Iterator[Program]:
    """Yield all example programs.

    Args:
        python: The Python of a client's environment.
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
    yield Program("Java", EXAMPLES / "java", ("build/client",), ("javac", "--version"), (("make",),), _JAVA)
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
_JARS = {
    "geronimo-annotation-1.3-spec": "libgeronimo-annotation-1.3-spec-java",
    "grpc-netty": "libgrpc-java",
    "gson": "libgoogle-gson-java",
    "guava": "libguava-java",
    "netty-codec-http2": "libnetty-java",
    "perfmark-api": "libperfmark-java",
    "protobuf": "libprotobuf-java",
}
_JAVA = (
    _PROTOC
    | {"javac": "default-jdk-headless", "grpc_java_plugin": "protobuf-compiler-grpc-java-plugin"}
    | {f"/usr/share/java/{jar}.jar": package for jar, package in _JARS.items()}
)


def _is_installed(need: str) -> bool:
    if need.startswith("/"):
        return any(Path("/").glob(need[1:]))
    return shutil.which(need) is not None
