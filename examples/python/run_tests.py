"""Uploads a folder, runs a command in a sandbox of it and prints what it changed, with plain gRPC.

    protoc --proto_path proto --python_out examples/python proto/sandbox/v1/*.proto
    python3 examples/python/run_tests.py unix:///run/user/1000/croft/croft.sock ./my-project "npm test"

Needs grpcio and protobuf (Debian: python3-grpcio, protobuf-compiler). `croft serve --socket PATH` makes the socket.
"""

import pathlib
import sys

import grpc

from sandbox.v1 import codebase_pb2, common_pb2, diff_pb2, sandbox_pb2, snapshot_pb2


def method(channel, service, name, request, answer, kind="unary_unary"):
    """A callable for one method; generated stubs are the same with more files."""
    return getattr(channel, kind)(
        f"/sandbox.v1.{service}/{name}",
        request_serializer=request.SerializeToString,
        response_deserializer=answer.FromString,
    )


def chunks_of(codebase_id, folder, path):
    status = path.stat()
    metadata = codebase_pb2.UploadChunk.Metadata(
        codebase_id=codebase_id, file_path=str(path.relative_to(folder)), total_size=status.st_size, mode=status.st_mode & 0o777
    )
    yield codebase_pb2.UploadChunk(metadata=metadata)
    with path.open("rb") as file:
        while data := file.read(64 * 1024):
            yield codebase_pb2.UploadChunk(data=data)


def main(address, folder, command):
    folder = pathlib.Path(folder)
    with grpc.insecure_channel(address) as channel:
        create = method(channel, "CodebaseService", "CreateCodebase", codebase_pb2.CreateCodebaseRequest, codebase_pb2.Codebase)
        codebase = create(codebase_pb2.CreateCodebaseRequest(name=folder.resolve().name, owner_id="example"))
        upload = method(channel, "CodebaseService", "UploadFiles", codebase_pb2.UploadChunk, codebase_pb2.UploadResult, "stream_unary")
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and ".git" not in path.parts:
                upload(chunks_of(codebase.id, folder, path))

        create = method(channel, "SandboxService", "CreateSandbox", sandbox_pb2.CreateSandboxRequest, sandbox_pb2.Sandbox)
        sandbox = create(sandbox_pb2.CreateSandboxRequest(codebase_id=codebase.id, preset="development", start=True))
        try:
            stream = method(channel, "SandboxService", "ExecStream", sandbox_pb2.ExecRequest, sandbox_pb2.ExecOutput, "unary_stream")
            for output in stream(sandbox_pb2.ExecRequest(sandbox_id=sandbox.id, command=command)):
                target = sys.stderr if output.type == sandbox_pb2.ExecOutput.OUTPUT_TYPE_STDERR else sys.stdout
                target.buffer.write(output.data)
                target.flush()
            differences = method(
                channel, "DiffService", "ListDifferences", diff_pb2.ListDifferencesRequest, diff_pb2.ListDifferencesResponse, "unary_stream"
            )
            query = diff_pb2.DiffQuery(sandbox_id=sandbox.id)
            for answer in differences(diff_pb2.ListDifferencesRequest(query=query)):
                for change in answer.changes:
                    print(snapshot_pb2.ChangeKind.Name(change.kind), change.path.decode(errors="replace"))
        finally:
            destroy = method(channel, "SandboxService", "DestroySandbox", sandbox_pb2.DestroySandboxRequest, common_pb2.Empty)
            destroy(sandbox_pb2.DestroySandboxRequest(sandbox_id=sandbox.id))


if __name__ == "__main__":
    main(*sys.argv[1:])
