"""`buf generate` with each installed plugin of buf.gen.yaml, as the users of its language run it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests import ROOT

pytestmark = pytest.mark.slow

TEMPLATE: dict[str, Any] = YAML(typ="safe").load(ROOT / "buf.gen.yaml")
OUT = Path("build/stubs")

# For each plugin, a generated file and a part of its content.
MADE = {
    "csharp": ("csharp/Sprocket/V1/Factory.cs", "namespace Sprocket.V1 {"),
    "grpc_csharp_plugin": ("csharp/Sprocket/V1/FactoryGrpc.cs", "namespace Sprocket.V1 {"),
    "protoc-gen-go": ("go/sprocket/v1/factory.pb.go", "package sprocketv1\n"),
    "protoc-gen-go-grpc": ("go/sprocket/v1/factory_grpc.pb.go", "package sprocketv1\n"),
    "java": ("java/internal/sprocket/v1/Factory.java", "package internal.sprocket.v1;"),
    "protoc-gen-grpc-java": ("java/internal/sprocket/v1/FactoryServiceGrpc.java", "package internal.sprocket.v1;"),
    "python": ("python/sprocket/v1/factory_pb2.py", "DESCRIPTOR"),
    "pyi": ("python/sprocket/v1/factory_pb2.pyi", "class Factory("),
    "grpc_python_plugin": ("python/sprocket/v1/factory_pb2_grpc.py", "class FactoryServiceStub("),
    "protoc-gen-ts_proto": ("typescript/sprocket/v1/factory.ts", "export const FactoryServiceClient = "),
}
JAVA_CLASSES = ("geronimo-annotation-1.3-spec", "grpc-api", "grpc-protobuf", "grpc-stub", "guava", "protobuf")


def name_of(plugin: dict[str, Any]) -> str:
    return str(plugin.get("protoc_builtin") or plugin["local"])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The search path for programs, including the packages of the TypeScript example."""
    here = tmp_path_factory.mktemp("programs")
    if found := shutil.which("grpc_java_plugin"):
        (here / "protoc-gen-grpc-java").symlink_to(found)  # Debian's package has another name than the original
    packages = ROOT / "examples" / "node" / "node_modules" / ".bin"
    return os.pathsep.join([str(here), str(Path(sys.executable).parent), str(packages), os.environ["PATH"]])


def generate(path: str, directory: Path, *names: str) -> Path:
    """Run `buf generate` with some plugins, and return the directory of the stubs; skip if a program is missing."""
    plugins = [plugin for plugin in TEMPLATE["plugins"] if name_of(plugin) in names]
    for plugin in plugins:
        program = plugin.get("local") or plugin.get("protoc_path", ["protoc"])[0]
        if not shutil.which(program, path=path):
            pytest.skip(f"{program} is not installed")
        if "protoc_builtin" in plugin and not Path("/dev/stdin").exists():
            pytest.skip("buf passes the contract to protoc through /dev/stdin, which does not exist here")
    template = json.dumps({**TEMPLATE, "plugins": plugins})
    command = ["buf", "generate", "--template", template, "--output", str(directory)]
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ | {"PATH": path})
    return directory / OUT


def test_there_are_plugins_for_five_languages() -> None:
    assert {Path(plugin["out"]) for plugin in TEMPLATE["plugins"]} == {
        OUT / language for language in ("csharp", "go", "java", "python", "typescript")
    }


@pytest.mark.parametrize("plugin", TEMPLATE["plugins"], ids=name_of)
def test_a_plugin_generates_stubs_in_the_package_of_its_language(
    plugin: dict[str, Any], path: str, tmp_path: Path
) -> None:
    file, content = MADE[name_of(plugin)]
    assert content in (generate(path, tmp_path, name_of(plugin)) / file).read_text()


def test_the_python_stubs_can_be_imported(path: str, tmp_path: Path) -> None:
    stubs = generate(path, tmp_path, "python", "grpc_python_plugin")
    code = "import sprocket.v1.factory_pb2_grpc as stubs; print(stubs.__file__, stubs.FactoryServiceStub)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, cwd=stubs / "python", env={}, stdout=subprocess.PIPE, text=True)
    assert done.stdout.startswith(str(stubs))


def test_the_java_stubs_compile(path: str, tmp_path: Path) -> None:
    if not shutil.which("javac"):
        pytest.skip("javac is not installed")
    classes = [Path(f"/usr/share/java/{name}.jar") for name in JAVA_CLASSES]
    if missing := [each.name for each in classes if not each.exists()]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    stubs = generate(path, tmp_path, "java", "protoc-gen-grpc-java")
    options = ["-proc:none", "-nowarn", "-d", str(tmp_path), "-classpath", os.pathsep.join(map(str, classes))]
    client = stubs / "java/internal/sprocket/v1/FactoryServiceGrpc.java"  # and its dependencies
    subprocess.run(["javac", *options, "-sourcepath", stubs / "java", client], check=True)
    assert (tmp_path / "internal/sprocket/v1/FactoryServiceGrpc.class").exists()
