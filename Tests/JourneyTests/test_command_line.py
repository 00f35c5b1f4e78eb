"""The command line: exit codes, --json everywhere, help, and the server's own start and stop."""

from __future__ import annotations

import datetime
import json
import os
import re
import sqlite3
import stat
import subprocess
import time
import urllib.parse
from pathlib import Path

import pytest
from casemate_fixture import Server, binary, clean_environment, handler, problem, wait_until


@pytest.fixture(scope="module")
def functions(running: Server) -> Server:
    source = handler("""
        def handle(data):
            if data and data.get("fail"):
                raise ValueError("no")
            print("called")
            return {"got": data}
        """)
    running.deploy("cli", "works", source)
    return running


def test_invoke_prints_the_body_alone_and_exits_0(functions: Server) -> None:
    code, out, _err = functions.cli("invoke", "cli/works", "--data", '{"a": 1}')
    assert code == 0
    assert json.loads(out) == {"got": {"a": 1}}


def test_invoke_exits_1_on_the_function_s_error_and_2_on_a_refusal(functions: Server) -> None:
    assert functions.cli("invoke", "cli/works", "--data", '{"fail": true}')[0] == 1
    code, out, err = functions.cli("invoke", "cli/absent", "--data", "{}")
    assert code == 2 and out == "" and err
    wrong = {"CASEMATE_URL": functions.api_url, "CASEMATE_KEY": "00000000-0000-4000-8000-000000000000"}
    code, out, err = functions.cli("invoke", "cli/works", environment=wrong)
    assert code == 2 and out == "" and err
    nobody = {"CASEMATE_URL": "http://127.0.0.1:9", "CASEMATE_KEY": functions.key}
    code, out, err = functions.cli("invoke", "cli/works", environment=nobody)
    assert code in (1, 2) and out == "" and err
    assert "Traceback" not in err and "Error Domain" not in err


def test_invoke_json_wraps_status_headers_response_and_call_id(functions: Server) -> None:
    wrapped = functions.cli_json("invoke", "cli/works", "--data", '{"a": 1}')
    assert set(wrapped) == {"status", "headers", "response", "callId"}
    assert wrapped["status"] == 200 and wrapped["response"] == {"got": {"a": 1}}
    assert functions.messages("cli/works", wrapped["callId"]) == ["called"]
    code, out, _ = functions.cli("invoke", "cli/works", "--data", '{"fail": true}', "--json")
    assert code == 1 and json.loads(out)["status"] == 500
    code, out, _ = functions.cli("invoke", "cli/absent", "--json")
    assert code == 2 and json.loads(out)["status"] == 404


def test_invoke_takes_data_from_a_file_and_from_standard_input(functions: Server) -> None:
    file = functions.folder / "data.json"
    file.write_text('{"from": "file"}')
    assert json.loads(functions.cli("invoke", "cli/works", "--data", f"@{file}")[1]) == {"got": {"from": "file"}}
    assert json.loads(functions.cli("invoke", "cli/works", "--data", "@-", input='{"from": "in"}')[1]) == {
        "got": {"from": "in"}
    }
    assert functions.cli("invoke", "cli/works", "--data", "@/absent/file")[0] not in (0,)


def test_every_command_answers_json(functions: Server) -> None:
    functions.secret("cli/works", "UNUSED", "value-never-used-by-it")
    for arguments in (
        ("namespace", "list"),
        ("function", "list", "cli"),
        ("function", "show", "cli/works"),
        ("secret", "list", "cli/works"),
        ("token", "list", "cli"),
        ("logs", "cli/works"),
        ("status",),
        ("doctor",),
        ("runtime", "list"),
        ("config", "show"),
    ):
        code, out, err = functions.cli(*arguments, "--json")
        assert code == 0, f"{arguments}: {code} {err}"
        for line in out.strip().splitlines() if arguments[0] == "logs" else [out]:
            json.loads(line)


def test_every_command_has_help_and_wrong_usage_exits_64(functions: Server) -> None:
    commands = [
        "up",
        "deploy",
        "invoke",
        "logs",
        "secret set",
        "secret list",
        "secret delete",
        "token create",
        "token list",
    ]
    commands += [
        "token revoke",
        "namespace create",
        "namespace list",
        "namespace delete",
        "function list",
        "function show",
    ]
    commands += [
        "function delete",
        "function rollback",
        "status",
        "doctor",
        "runtime list",
        "runtime install",
        "config show",
    ]
    for command in commands:
        code, out, _ = functions.cli(*command.split(), "--help")
        assert code == 0 and "OVERVIEW" in out and "USAGE" in out, command
    assert functions.cli("deploy", "--no-such-option")[0] == 64
    assert functions.cli("absent-command")[0] == 64
    code, out, _ = functions.cli("--version")
    assert code == 0 and re.match(r"\d+\.\d+", out.strip())
    for shell in ("bash", "zsh", "fish"):
        code, out, _ = functions.cli("--generate-completion-script", shell)
        assert code == 0 and "casemate" in out


def test_refusals_of_the_command_line_go_to_standard_error_with_a_code(functions: Server) -> None:
    for arguments in (
        ("function", "show", "cli/absent"),
        ("function", "delete", "cli/absent"),
        ("function", "rollback", "cli/absent"),
        ("logs", "cli/absent"),
        ("secret", "list", "cli/absent"),
        ("secret", "delete", "cli/works", "ABSENT"),
        ("namespace", "delete", "absent"),
        ("function", "list", "absent"),
        ("function", "show", "noslash"),
        ("deploy", "/absent/folder"),
    ):
        code, out, err = functions.cli(*arguments)
        assert code != 0 and err.strip() and out.strip() == "", f"{arguments}: {code} {out!r} {err!r}"


def test_health_readiness_and_security_text_need_no_credential(server: Server) -> None:
    assert server.api("GET", "/healthz", key=None).status == 200
    assert server.api("GET", "/readyz", key=None).status == 200
    text = server.api("GET", "/.well-known/security.txt", key=None)
    assert text.status == 200 and text.headers["content-type"].startswith("text/plain")
    assert re.search(r"^Contact: \S+", text.text, re.M)
    expires = re.search(r"^Expires: (\S+)", text.text, re.M)
    assert expires
    assert datetime.datetime.fromisoformat(expires[1].replace("Z", "+00:00")) > datetime.datetime.now(datetime.UTC)


def test_the_data_folder_is_closed_to_everyone_else(server: Server) -> None:
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    assert mode(server.data) == 0o711
    assert mode(server.data / "server") == 0o700 and (server.data / "server").stat().st_uid != 0
    assert mode(server.data / "warden") == 0o700 and (server.data / "warden").stat().st_uid == 0
    assert mode(server.data / "admin.key") == 0o600
    assert mode(server.config) == 0o600
    for file in (server.data / "server").rglob("*"):
        if file.is_file():
            assert mode(file) & 0o077 == 0, f"{file.name} can be read by others: {mode(file):o}"
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", server.key)


def test_the_server_process_is_an_ordinary_user_without_capabilities(server: Server) -> None:
    status = Path(f"/proc/{server.pid}/status").read_text()
    assert "0" not in re.search(r"^Uid:\s+(.*)$", status, re.M)[1].split()  # type: ignore[index]
    assert "0" not in re.search(r"^Gid:\s+(.*)$", status, re.M)[1].split()  # type: ignore[index]
    for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
        assert int(re.search(rf"^{name}:\s+(\S+)", status, re.M)[1], 16) == 0, name  # type: ignore[index]
    assert re.search(r"^Groups:\s*$", status, re.M) or "0" not in re.search(r"^Groups:\s+(.*)$", status, re.M)[1].split()  # type: ignore[index]


def test_ctrl_c_ends_the_server_with_nothing_left_even_while_calls_run() -> None:
    with Server() as server:
        source = handler("import time\ndef handle(data):\n    time.sleep(data['s'])\n    return 1\n")
        server.deploy("stop", "sleeps", source, {"limits": {"timeout": "60s"}})
        assert server.call("stop/sleeps", body={"s": 0}).status == 200
        import threading

        def call() -> None:
            try:
                server.call("stop/sleeps", body={"s": 40})
            except Exception:
                pass

        threading.Thread(target=call, daemon=True).start()
        time.sleep(0.5)
        assert server.stop() < 10
        server.assert_clean()
        assert server.process is not None and server.process.returncode in (0, 130, -2)


def test_what_was_deployed_is_served_after_a_restart() -> None:
    with Server() as server:
        server.deploy(
            "again", "f", handler("def handle(secrets):\n    return len(secrets['KEY'])\n"), {"secrets": ["KEY"]}
        )
        server.secret("again/f", "KEY", "kept-over-the-restart")
        token = server.token("again/f")["token"]
        key = server.key
        call = server.call("again/f", token=token)
        assert call.status == 200
        server.stop()
        server.assert_clean()
        server.start()
        assert server.key == key
        assert server.call("again/f", token=token).json() == len("kept-over-the-restart")
        assert json.loads(server.cli("invoke", "again/f")[1]) == len("kept-over-the-restart")


@pytest.mark.parametrize("flag", ["--listen", "--gateway"])
def test_anything_but_loopback_without_tls_is_refused_with_the_way_to_do_it_right(tmp_path: Path, flag: str) -> None:
    tmp_path.chmod(0o711)
    command = [
        str(binary()),
        "up",
        "--data",
        str(tmp_path / "data"),
        "--listen",
        "127.0.0.1:0",
        "--gateway",
        "127.0.0.1:0",
    ]
    command += [flag, "0.0.0.0:0"]
    environment = clean_environment(CASEMATE_CONFIG=str(tmp_path / "cli.yaml"))
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL
    )
    assert done.returncode != 0
    assert "tls" in (done.stdout + done.stderr).lower()


def test_an_ordinary_user_is_told_what_is_missing(tmp_path: Path) -> None:
    command = [
        str(binary()),
        "up",
        "--data",
        "/tmp/casemate-of-nobody",
        "--listen",
        "127.0.0.1:0",
        "--gateway",
        "127.0.0.1:0",
    ]
    try:
        done = subprocess.run(
            command,
            env=clean_environment(HOME="/nonexistent"),
            capture_output=True,
            text=True,
            timeout=30,
            user=65534,
            group=65534,
            cwd="/",
        )
    except PermissionError:
        pytest.skip("an ordinary user cannot reach the binary here")
    assert done.returncode != 0
    assert "root" in (done.stdout + done.stderr)
    assert not Path("/tmp/casemate-of-nobody").exists()


def test_tls_auto_serves_both_listeners_with_certificates_of_its_own_ca() -> None:
    import http.client
    import ssl

    with Server(options=["--tls", "auto"]) as server:
        ca = server.data / "ca.pem"
        assert ca.exists()
        keys = [file for file in server.data.rglob("*") if file.is_file() and b"PRIVATE KEY" in file.read_bytes()]
        assert keys and all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in keys)
        context = ssl.create_default_context(cafile=str(ca))
        for url, path in ((server.api_url, "/healthz"), (server.gateway_url, "/f/a/b")):
            assert url.startswith("https://")
            parts = urllib.parse.urlsplit(url)
            connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=10)
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.status in (200, 401)
            assert response.getheader("Strict-Transport-Security")
            connection.close()
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.load_verify_locations(str(ca))
            try:
                old.set_ciphers("ALL:@SECLEVEL=0")
                old.minimum_version = ssl.TLSVersion.TLSv1
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            except (ValueError, ssl.SSLError):
                continue
            with pytest.raises((ssl.SSLError, ConnectionError)):
                early = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=old, timeout=10)
                early.request("GET", path)
                early.getresponse()
        assert server.cli("namespace", "list")[0] == 0, "the CLI does not trust the CA that the server made"


def test_a_configuration_file_counts_and_unknown_keys_in_it_are_refused(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("pool-size: 2\n")
    bad.write_text("pool-siez: 2\n")
    environment = clean_environment()

    def show(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [str(binary()), "config", "show", *arguments]
        return subprocess.run(command, env={**environment, **more}, capture_output=True, text=True, timeout=20)

    def pool(done: subprocess.CompletedProcess[str]) -> str:
        return next(line for line in done.stdout.splitlines() if "pool-size" in line)

    assert "default" in pool(show())
    assert "2" in pool(show("--config", str(good))) and "file" in pool(show("--config", str(good)))
    over = pool(show("--config", str(good), CASEMATE_POOL_SIZE="3"))
    assert "3" in over and "environment" in over
    flag = pool(show("--config", str(good), "--pool-size", "5", CASEMATE_POOL_SIZE="3"))
    assert "5" in flag and "flag" in flag
    refused = show("--config", str(bad))
    assert refused.returncode != 0 and "pool-siez" in refused.stderr + refused.stdout


def test_a_database_of_a_newer_version_is_refused_with_a_clear_message() -> None:
    with Server() as server:
        server.stop()
        database = server.data / "server" / "casemate.db"
        owner = database.stat()
        connection = sqlite3.connect(database)
        tables = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
        if "grdb_migrations" in tables:
            connection.execute("insert into grdb_migrations values ('9999-from-the-future')")
        connection.execute("pragma user_version = 9999")
        connection.commit()
        connection.close()
        for file in database.parent.glob("casemate.db*"):
            os.chown(file, owner.st_uid, owner.st_gid)
        with pytest.raises(AssertionError, match=r"(?i)newer"):
            server.start(20)
        assert wait_until(lambda: not server.is_running(), 5)


def test_the_pool_size_is_what_was_asked_for() -> None:
    with Server(options=["--pool-size", "1"]) as server:
        assert wait_until(lambda: server.status()["warmSandboxes"] == 1, 10)
        time.sleep(0.5)
        assert len(server.sandboxes()) == 1


def test_the_server_s_own_log_is_json_lines_without_bodies_or_keys() -> None:
    with Server(options=["--log-level", "trace"]) as server:
        server.deploy(
            "log",
            "f",
            handler("def handle(data, secrets):\n    return {'body-marker-2': data}\n"),
            {"secrets": ["KEY"]},
        )
        server.secret("log/f", "KEY", "value-for-the-server-log")
        token = server.token("log/f")["token"]
        assert server.call("log/f", body={"body-marker-1": 1}, token=token).status == 200
        server.stop()
        text = "".join(server.err)
        for line in text.splitlines():
            assert isinstance(json.loads(line), dict)
        for hidden in ("body-marker-1", "body-marker-2", "value-for-the-server-log", token, server.key):
            assert hidden not in text, hidden


def test_two_servers_run_beside_each_other(server: Server) -> None:
    with Server() as other:
        other.deploy("beside", "f", handler("def handle(data):\n    return 'other'\n"))
        assert other.call("beside/f", body={}).json() == "other"
        assert server.call("beside/f", body={}).status == 404
        assert problem(server.call("beside/f", body={}, key=other.key))["status"] == 401
    server.assert_serving()
