"""Real programs in the made-up internet: databases, an object store, a git server. Each is a child, ended by its id."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from casemate_fixture import wait_until
from network_world import World
from world_services import authority

PUBLIC = "93.184.216.34"
PYTHON = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable


def install(folder: Path, cache: Path, *packages: str) -> Path:
    """pip's work, in a folder of its own; the downloads are shared within the session."""
    done = subprocess.run(
        [PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:"]
        + ["--cache-dir", str(cache), "--target", str(folder), *packages],
        capture_output=True,
        text=True,
        timeout=170,
    )
    if done.returncode != 0:
        pytest.fail(f"pip could not install {' '.join(packages)}: {done.stderr.strip()[-500:]}", pytrace=False)
    return folder


def needs(program: str, package: str) -> str:
    """The path of a program of a Debian package. Its absence is a failure: these tests are not optional."""
    found = shutil.which(program) or next(iter(sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))), None)
    if not found:
        pytest.fail(f"{program} is missing: apt-get install {package}", pytrace=False)
    return str(found)


@contextlib.contextmanager
def _running(world: World, port: int, command: list[str], ends: signal.Signals, **more: object) -> Iterator[None]:
    """A program outside, from when it listens on `port` until the block ends."""
    with tempfile.TemporaryFile() as said:
        process = world.start(
            world.outside, command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd="/", **more
        )

        def listens() -> bool:
            try:
                world.inner.connect(PUBLIC, port, 1).close()
            except OSError:
                return False
            return True

        def last_words() -> str:
            said.seek(0)
            return said.read().decode("utf-8", "replace")[-1000:]

        try:
            assert wait_until(lambda: process.poll() is not None or listens(), 60, every=0.2), last_words()
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}: {last_words()}"
            yield
        finally:
            if process.poll() is None:
                process.send_signal(ends)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(10)


@contextlib.contextmanager
def postgres(world: World, host: str, port: int) -> Iterator[str]:
    """Debian's PostgreSQL as its own user, over TLS alone; the value is the password."""
    initdb, server = needs("initdb", "postgresql"), needs("postgres", "postgresql")
    # Not runuser: it stays as a parent, and the server would outlive what ends it.
    as_postgres = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"]
    with tempfile.TemporaryDirectory(prefix="casemate-postgres-") as folder:
        data, password = Path(folder) / "data", Path(folder) / "password"
        password.write_text("example-password\n")
        for path in (folder, password):
            shutil.chown(path, "postgres", "postgres")
        made = subprocess.run(
            [*as_postgres, initdb, "-D", str(data), "-A", "scram-sha-256", "--pwfile", str(password), "--no-sync"],
            capture_output=True,
            text=True,
            cwd="/",
        )
        assert made.returncode == 0, made.stderr
        for source, name in zip(authority().files(host), ("server.crt", "server.key")):
            copied = Path(shutil.copy(source, data / name))
            shutil.chown(copied, "postgres", "postgres")
            copied.chmod(0o600)
        (data / "pg_hba.conf").write_text("hostssl all all all scram-sha-256\n")
        settings = {"listen_addresses": "*", "port": port, "ssl": "on", "unix_socket_directories": "", "fsync": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with _running(world, port, [*as_postgres, server, "-D", str(data), *options], signal.SIGINT):
            yield "example-password"


@contextlib.contextmanager
def redis(world: World, port: int) -> Iterator[None]:
    program = needs("redis-server", "redis-server")
    with tempfile.TemporaryDirectory(prefix="casemate-redis-") as folder:
        command = [program, "--port", str(port), "--bind", "0.0.0.0", "::", "--protected-mode", "no", "--dir", folder]
        with _running(world, port, [*command, "--save", "", "--appendonly", "no"], signal.SIGTERM):
            yield


@contextlib.contextmanager
def object_store(world: World, host: str, port: int, packages: Path) -> Iterator[None]:
    """moto, as `host` over TLS, with buckets in the path."""
    certificate, key = authority().files(host)
    code = "from moto.server import main; import sys; main(sys.argv[1:])"
    command = [PYTHON, "-c", code, "-H", "0.0.0.0", "-p", str(port), "-s", "-c", str(certificate), "-k", str(key)]
    own = {"PYTHONPATH": str(packages), "MOTO_S3_CUSTOM_ENDPOINTS": f"https://{host}:{port}"}
    with _running(world, port, command, signal.SIGTERM, env={**os.environ, **own}):
        yield


_GIT_SERVER = textwrap.dedent("""
    import ssl, sys
    from wsgiref.simple_server import make_server
    from dulwich.repo import Repo
    from dulwich.server import DictBackend
    from dulwich.web import WSGIRequestHandlerLogger, WSGIServerLogger, make_wsgi_chain

    port, certificate, key, folder = sys.argv[1:]
    app = make_wsgi_chain(DictBackend({"/repository": Repo(folder)}))
    server = make_server("0.0.0.0", int(port), app, handler_class=WSGIRequestHandlerLogger, server_class=WSGIServerLogger)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()
    """)

_GIT_COMMIT = textwrap.dedent("""
    import sys
    from dulwich import porcelain
    folder = sys.argv[1]
    porcelain.init(folder)
    porcelain.add(folder, paths=[folder + "/README"])
    person = b"Example <example@example.com>"
    print(porcelain.commit(folder, message=b"first", author=person, committer=person).decode())
    """)


@contextlib.contextmanager
def git(world: World, host: str, port: int, packages: Path) -> Iterator[str]:
    """A repository with one commit behind dulwich's own server with TLS; the value is the commit."""
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    with tempfile.TemporaryDirectory(prefix="casemate-git-") as folder:
        (Path(folder) / "README").write_text("hello from git\n" * 5000)
        made = subprocess.run([PYTHON, "-c", _GIT_COMMIT, folder], env=environment, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        certificate, key = authority().files(host)
        command = [PYTHON, "-c", _GIT_SERVER, str(port), str(certificate), str(key), folder]
        with _running(world, port, command, signal.SIGTERM, env=environment):
            yield made.stdout.strip()
