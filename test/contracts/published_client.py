"""Does with the published client of wire v1 what its users do. Prints a line for each thing that went as it should."""

import asyncio
import sys
from datetime import timedelta

import agentfense
from agentfense import AsyncSandbox, AsyncSandboxClient, PermissionRule, ResourceLimits, Sandbox, SandboxClient


def done(what):
    print(what, flush=True)


def refused(kind, call, code=None):
    try:
        call()
    except kind as error:
        # This client tells states by the code of gRPC.
        assert code is None or error.grpc_code[1] == code, error.grpc_code
        return
    raise AssertionError(f"no {kind.__name__}")


def refused_as(code, call):
    refused(agentfense.SandboxError, call, code)


def low_level(endpoint):
    with SandboxClient(endpoint=endpoint) as client:
        codebase = client.create_codebase(name="project", owner_id="user_123")
        assert codebase.id.startswith("cb_") and codebase.owner_id == "user_123", codebase
        uploaded = client.upload_file(codebase.id, "src/main.py", b"print('hello')\n")
        assert uploaded.size == 15 and len(uploaded.checksum) == 32, uploaded
        client.upload_file(codebase.id, "secret.txt", b"do not tell")
        client.upload_file(codebase.id, "docs/big", b"x" * 300_000)
        assert client.download_file(codebase.id, "docs/big") == b"x" * 300_000
        assert sorted(f.path for f in client.list_files(codebase.id, recursive=True) if not f.is_dir) == [
            "docs/big",
            "secret.txt",
            "src/main.py",
        ]
        assert [c.id for c in client.list_codebases(owner_id="user_123")] == [codebase.id]
        assert client.get_codebase(codebase.id).file_count == 3
        done("codebases")

        sandbox = client.create_sandbox(
            codebase_id=codebase.id,
            permissions=[
                PermissionRule(pattern="**", permission=agentfense.Permission.READ),
                {"pattern": "/docs/**", "permission": "write"},
                {"pattern": "/secret.txt", "permission": "none", "type": "file"},
                {"pattern": "/src/**", "permission": "view"},
            ],
            labels={"for": "test"},
            expires_in=timedelta(hours=1),
            resources=ResourceLimits(pids_limit=100),
        )
        assert sandbox.status == agentfense.SandboxStatus.PENDING and sandbox.labels == {"for": "test"}
        assert sandbox.expires_at is not None and sandbox.resources.pids_limit == 100, sandbox
        refused_as("failed precondition", lambda: client.exec(sandbox.id, "true"))
        assert client.start_sandbox(sandbox.id).status == agentfense.SandboxStatus.RUNNING
        assert [s.id for s in client.list_sandboxes(codebase_id=codebase.id)] == [sandbox.id]
        done("sandboxes")

        result = client.exec(sandbox.id, "cat; echo $WHO; pwd; exit 3", stdin="in ", env={"WHO": "me"}, workdir="/workspace/docs")
        assert (result.stdout, result.exit_code) == ("in me\n/workspace/docs\n", 3), result
        assert b"".join(client.exec_stream(sandbox.id, "echo a; echo b")) == b"a\nb\n"
        refused(
            agentfense.CommandTimeoutError,
            lambda: client.exec(sandbox.id, "echo begun; sleep 60", timeout=timedelta(milliseconds=300)),
        )
        done("commands")

        assert client.exec(sandbox.id, "ls").stdout == "docs\nsrc\n"
        assert client.exec(sandbox.id, "cat secret.txt").exit_code != 0
        assert client.exec(sandbox.id, "ls src && cat src/main.py").stdout == "main.py\n"
        assert client.exec(sandbox.id, "echo mine > docs/new && cat docs/new").stdout == "mine\n"
        assert client.exec(sandbox.id, "echo x > new").exit_code != 0
        done("permissions")

        with client.create_session(sandbox.id, shell="/bin/sh", env={"A": "1"}) as session:
            session.exec("cd docs; B=2")
            assert session.exec("echo $A$B $PWD").stdout == "12 /workspace/docs\n"
            assert [s.id for s in client.list_sessions(sandbox.id)] == [session.id]
            refused(agentfense.CommandTimeoutError, lambda: session.exec("sleep 60", timeout=timedelta(milliseconds=300)))
        refused_as("failed precondition", lambda: client.session_exec(session.id, "true"))
        done("sessions")

        assert client.stop_sandbox(sandbox.id).status == agentfense.SandboxStatus.STOPPED
        refused_as("failed precondition", lambda: client.stop_sandbox(sandbox.id))
        client.start_sandbox(sandbox.id)
        assert client.exec(sandbox.id, "cat docs/new").stdout == "mine\n"
        client.destroy_sandbox(sandbox.id)
        refused_as("not found", lambda: client.get_sandbox(sandbox.id))
        client.delete_codebase(codebase.id)
        refused_as("not found", lambda: client.get_codebase(codebase.id))
        refused(agentfense.InvalidConfigurationError, lambda: client.create_codebase(name="", owner_id="x"))
        done("ends")


def high_level(endpoint, folder):
    with Sandbox.from_local(folder, preset="agent-safe", endpoint=endpoint) as sandbox:
        assert sandbox.run("cat hello.txt").stdout == "hello\n"
        sandbox.write_file("/workspace/later.txt", "later")
        assert sandbox.read_file("/workspace/later.txt") == "later"
        refused(agentfense.CommandExecutionError, lambda: sandbox.run("false", raise_on_error=True))
        with sandbox.session() as session:
            session.exec("cd /tmp")
            assert session.exec("pwd").stdout == "/tmp\n"
    done("from_local")


async def asynchronous(endpoint, folder):
    async with await AsyncSandbox.from_local(folder, preset="full-access", endpoint=endpoint) as sandbox:
        results = await asyncio.gather(*(sandbox.run(f"echo {at}") for at in range(8)))
        assert [r.stdout for r in results] == [f"{at}\n" for at in range(8)], results
        async with await sandbox.session() as session:
            await session.exec("X=async")
            assert (await session.exec("echo $X")).stdout == "async\n"
        chunks = [chunk async for chunk in sandbox.exec_stream("echo streamed")]
        assert b"".join(chunks) == b"streamed\n"
    async with AsyncSandboxClient(endpoint=endpoint) as client:
        assert await client.list_sandboxes() == []
    done("async")


if __name__ == "__main__":
    endpoint, folder = sys.argv[1:]
    low_level(endpoint)
    high_level(endpoint, folder)
    asyncio.run(asynchronous(endpoint, folder))
