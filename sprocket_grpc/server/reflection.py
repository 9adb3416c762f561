"""The descriptors that reflection serves: those of the contract have comments, which tools then show.

The pool of the process has none: protobuf drops them when it adds a file.
"""

from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from sprocket_grpc.contract import commented_files


def commented_pool() -> Any:  # noqa: ANN401  # it has what reflection uses of a DescriptorPool, which is final
    """Return the pool of the process, whose files of the contract have comments."""
    return _CommentedPool()


class _CommentedFile:
    """A file, as far as reflection uses one."""

    def __init__(self, file: FileDescriptor) -> None:
        self.name = file.name
        self.dependencies = [_CommentedFile(each) for each in file.dependencies]
        self._file = file

    def CopyToProto(self, proto: FileDescriptorProto) -> None:  # noqa: N802  # as protobuf has it
        """Write the description of the file into a message."""
        if commented := commented_files().get(self.name):
            proto.CopyFrom(commented)
        else:
            self._file.CopyToProto(proto)


class _CommentedPool:
    """A pool, as far as reflection uses one."""

    def __init__(self) -> None:
        pool = descriptor_pool.Default()
        self._pool = pool
        self.FindMessageTypeByName = pool.FindMessageTypeByName
        self.FindExtensionByNumber = pool.FindExtensionByNumber
        self.FindAllExtensions = pool.FindAllExtensions

    def FindFileByName(self, name: str) -> _CommentedFile:  # noqa: N802  # as protobuf has it
        """Return a file, or raise KeyError."""
        return _CommentedFile(self._pool.FindFileByName(name))

    def FindFileContainingSymbol(self, name: str) -> _CommentedFile:  # noqa: N802  # as above
        """Return the file of a symbol, or raise KeyError."""
        return _CommentedFile(self._pool.FindFileContainingSymbol(name))
