"""The S cases: where a value could get to besides logs and answers, and every value of this module looked for at the end."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import io
import json
import os
import re
import secrets as randomness
import signal
import subprocess
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accounts import account
from casemate_fixture import REPOSITORY, Answer, Server, handler, problem, processes, wait_until
from secret_calls import path, put
from spellings import assert_absent, found_in

# Every value that this module has set, by where.
VALUES: dict[str, str] = {}


def secret(server: Server, function: str, name: str = "KEY") -> str:
    """A new value, stored and remembered."""
    text = f"module-{randomness.token_hex(14)}-é+/"
    VALUES[f"{function} {name} {len(VALUES)}"] = text
    assert put(server, function, text, name).status == 200
    return text


def absent(where: bytes | str, what: str, hashed: bool = False) -> None:
    assert VALUES
    for text in VALUES.values():
        assert_absent(where, text, what, hashed)


BUSY = handler("""
    import ctypes, os, time

    def handle(data, secrets):
        way = data.get("way")
        if way == "hold":
            time.sleep(data["s"])
        elif way == "abort":
            os.abort()
        elif way == "fault":
            ctypes.string_at(0)
        elif way == "raise":
            raise RuntimeError("the value is " + secrets["KEY"] + " in /etc/passwd")
        elif way == "exit":
            os._exit(3)
        elif way == "memory":
            return len(bytearray(1 << 30))
        elif way == "object":
            return object()
        elif way == "print":
            print("it is", secrets["KEY"])
        return {"length": len(secrets["KEY"]), "value": secrets["KEY"]}
    """)
ENVIRONMENT = handler("""
    import json, os, time

    def handle(event, context):
        order = json.loads(event["body"] or "{}")
        time.sleep(order.get("s", 0))
        return {"length": len(os.environ["KEY"])}
    """)


class Receiver:
    """Takes the events of alerts."""

    def __init__(self) -> None:
        bodies = self.bodies = []  # type: ignore[var-annotated]

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                bodies.append(str(self.headers).encode() + body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/events"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()


@pytest.fixture(scope="module")
def house(receiver: Receiver) -> Iterator[Server]:
    """A server that logs all it can, with functions of every kind, whose secrets were set, changed, gone back to and deleted."""
    with Server(options=("--log-level", "trace", "--pool-size", "4")) as server:
        server.namespace("c")
        made = server.api(
            "POST", "/v1/alerts", {"events": ["secret.*", "vault.*", "function.*", "sandbox.*"], "url": receiver.url}
        )
        assert made.status == 201, made.text
        kinds: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
            "cognite": (BUSY, {"limits": {"memory": "64MiB", "timeout": "10s"}}),
            "scaleway": (ENVIRONMENT, {}),
            "isolated": (BUSY, {"isolate": "call"}),
        }
        for name, (source, keys) in kinds.items():
            secret(server, f"c/{name}")
            secret(server, f"c/{name}", "GONE")
            secret(server, f"c/{name}")
            server.deploy("c", name, source, {"secrets": ["KEY"], **keys})
            assert server.call(f"c/{name}", body={}).json()["length"] == len(next(iter(VALUES.values())))
            secret(server, f"c/{name}")
            assert server.api("POST", path(f"c/{name}", what="/rollback"), {"version": 1}).status == 200
            assert server.api("DELETE", path(f"c/{name}", "GONE")).status == 204
            server.call(f"c/{name}", body={"way": "print"})
        yield server


# ---------------------------------------------------------------- S1: no way to read it back


def getters() -> list[str]:
    """Every operation that reads, out of the table that says who may do what."""
    table = (REPOSITORY / "Tests/CasemateServerTests/Golden/rights.txt").read_text()
    found = re.findall(r"^GET\s+(\S+)", table, re.M)
    assert len(found) > 25
    return found


def filled(server: Server, template: str) -> str:
    function = server.api("GET", "/v1/namespaces/c/functions/cognite").json()
    values = {
        "namespace": "c",
        "function": "cognite",
        "secret": "KEY",
        "account": "none",
        "target": "none",
        "revision": "1",
    }
    values |= dict.fromkeys(
        (
            "token",
            "grant",
            "issuer",
            "session",
            "alert",
            "backup",
            "key",
            "federation",
            "deployment",
            "waiver",
            "call",
            "schedule",
        ),
        function["id"],
    )
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], template)


@pytest.mark.case("S1")
@pytest.mark.guarantee("SCW-8", "COG-2")
@pytest.mark.parametrize("template", getters())
def test_S1_no_operation_that_reads_gives_a_value_or_a_hash_of_it(house: Server, template: str) -> None:
    query = "?wait=0" if template.endswith(("/logs", "/audit")) else ""
    answer = house.api("GET", filled(house, template) + query)
    assert answer.status in (200, 400, 404), answer.text
    absent(str(answer.fields) + answer.text, template, hashed=True)


@pytest.mark.case("S1")
@pytest.mark.guarantee("SCW-8")
@pytest.mark.parametrize(
    "arguments",
    [
        "function list c",
        "function show c/cognite",
        "secret list c/cognite",
        "secret versions c/cognite KEY",
        "logs c/cognite",
        "logs c/scaleway",
        "audit tail --tail 10000",
        "audit verify",
        "audit checkpoint",
        "alert list",
        "vault",
        "status",
        "config show",
        "policy get c",
        "token list c",
        "egress list c/cognite",
        "who-can function:invoke c/cognite",
        "whoami",
        "session list",
        "consent show c/cognite",
    ],
)
def test_S1_no_command_that_shows_gives_a_value_or_a_hash_of_it(house: Server, arguments: str) -> None:
    said = ""
    for form in ((), ("--json",)):
        _, out, err = house.cli(*arguments.split(), *form)
        said += out + err
    assert said or arguments.startswith("logs")
    absent(said, arguments, hashed=True)


@pytest.mark.case("S1")
@pytest.mark.guarantee("SCW-8")
def test_S1_the_answers_to_setting_comparing_and_going_back_hold_no_value_or_hash(house: Server) -> None:
    text = secret(house, "c/answers")
    _code, out, err = house.cli("secret", "set", "c/answers", "KEY", "--json", input=text)
    said = out + err + house.cli("secret", "set", "c/answers", "KEY", input=text)[1]
    for what, body in (
        ("", text.encode()),
        ("/verify", text.encode()),
        ("/rollback", b"{}"),
        ("/rollback", text.encode()),
        ("/none", text.encode()),
    ):
        for method in ("POST", "PUT", "PATCH", "GET", "DELETE"):
            answer = house.api(method, path("c/answers", what=what), body)
            said += answer.text + str(answer.fields)
    # In the places of names, too: a value that somebody pasted there is not thrown back.
    absent(said, "an answer", hashed=True)


@pytest.mark.case("S1")
@pytest.mark.guarantee("SCW-25")
def test_S1_events_tell_of_secrets_without_their_values(house: Server, receiver: Receiver) -> None:
    house.call("c/cognite", body={})
    assert wait_until(lambda: any(b"secret.redacted" in body for body in receiver.bodies), 10), len(receiver.bodies)
    assert any(b"secret.set" in body for body in receiver.bodies)
    for body in receiver.bodies:
        absent(body, "an event", hashed=True)


@pytest.mark.case("S1")
def test_S1_a_backup_holds_no_value_and_no_key_encryption_key(house: Server) -> None:
    file = house.folder / "backup.tar.gz"
    code, out, err = house.cli("backup", str(file), "--data", str(house.data))
    assert code == 0, out + err
    absent(out + err, "what backup says")
    with tarfile.open(file) as packed:
        for member in packed.getmembers():
            content = packed.extractfile(member)
            if content is not None:
                raw = content.read()
                absent(raw, f"{member.name} of the backup")
                assert (house.data / "server" / "kek").read_bytes() not in raw


# ---------------------------------------------------------------- S5: values that can't be protected well


@pytest.mark.case("S5")
def test_S5_a_short_value_is_warned_of_and_refused_where_the_policy_says_so(house: Server) -> None:
    code, out, err = house.cli("secret", "set", "c/weak", "PIN", input="tiger7")
    assert code == 0 and "warning" in err and "tiger7" not in out + err
    assert "weak" in house.cli("secret", "list", "c/weak")[1]
    house.namespace("strong")
    assert house.api("PUT", "/v1/namespaces/strong/policy", {"refusesWeakSecrets": True}).status == 200
    code, out, err = house.cli("secret", "set", "strong/f", "PIN", input="tiger7")
    assert code == 2 and "policy" in err and "tiger7" not in out + err
    assert house.api("GET", "/v1/namespaces/strong/functions").json() == {
        "functions": []
    }, "no name is reserved by what was refused"


@pytest.mark.case("S5")
@pytest.mark.parametrize("text", ["password", "12345678", "aaaaaaaaaaaa"])
def test_S5_a_word_that_anybody_would_try_is_warned_of(house: Server, text: str) -> None:
    assert house.cli_json("secret", "set", "c/word", "KEY", input=text)["warnings"], "set without a warning"


# ---------------------------------------------------------------- S7: errors


@pytest.mark.case("S7")
@pytest.mark.guarantee("AZR-10")
@pytest.mark.parametrize(
    ("way", "status"), [("raise", 500), ("exit", 502), ("abort", 502), ("fault", 502), ("memory", 502), ("object", 502)]
)
def test_S7_what_goes_wrong_in_a_function_shows_its_caller_no_inside(house: Server, way: str, status: int) -> None:
    answer = house.call("c/cognite", body={"way": way})
    assert answer.status == status
    assert_no_inside(answer)


def assert_no_inside(answer: Answer) -> None:
    assert problem(answer)["callId"] == answer.call_id
    absent(answer.text, "an error")
    for inside in (
        "Traceback",
        "RuntimeError",
        "Error:",
        ".py",
        "/fn/",
        "/opt/",
        "/usr/",
        "/tmp/",
        "line ",
        "swift",
        "0x",
    ):
        assert inside not in answer.text, f"{inside!r} in {answer.text}"


@pytest.mark.case("S7")
@pytest.mark.guarantee("AZR-10")
def test_S7_a_function_that_can_t_be_loaded_shows_its_caller_no_inside(house: Server) -> None:
    secret(house, "c/unloaded")
    source = {
        "handler.py": "import part\ndef handle(event, context):\n    return 1\n",
        "part.py": "import os\nif os.environ['KEY'].startswith('module-'):\n    raise RuntimeError('it is ' + os.environ['KEY'])\n",
    }
    assert put(house, "c/unloaded", "harmless-while-it-is-deployed").status == 200
    house.deploy("c", "unloaded", source, {"secrets": ["KEY"], "signature": "scaleway"})
    secret(house, "c/unloaded")
    answer = house.call("c/unloaded")
    assert answer.status == 502
    lines = "\n".join(house.messages("c/unloaded"))
    assert "part.py" in lines and "RuntimeError: it is [secret:KEY]" in lines, "its log has it all, redacted"
    absent(lines, "the log")
    assert_no_inside(answer)


@pytest.mark.case("S7")
@pytest.mark.guarantee("AZR-10", "COG-13")
def test_S7_the_traceback_is_for_those_who_may_read_logs_and_has_marks(house: Server) -> None:
    reader = account(house, "c", ("logs:read", "c"), ("function:read", "c"))
    caller = account(house, "c", ("function:invoke", "c"), ("function:read", "c"))
    answer = house.call("c/cognite", key=caller.key, body={"way": "raise"})
    page = f"{house.function_path('c/cognite')}/logs?call={answer.call_id}"
    assert caller.api("GET", page).status == 403
    found = reader.api("GET", page)
    assert (
        found.status == 200
        and "RuntimeError: the value is [secret:KEY] in /etc/passwd" in found.text
        and "Traceback" in found.text
    )
    absent(found.text, "the log")


@pytest.mark.case("S7")
@pytest.mark.guarantee("AZR-10")
@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("PUT", "/v1/namespaces/c/functions/cognite/secrets/%00", b"x"),
        ("PUT", "/v1/namespaces/c/functions/cognite/secrets/..%2f..%2fkek", b"x"),
        ("PUT", "/v1/namespaces/c/functions/cognite/secrets/A%0d%0aB", b"x"),
        ("PUT", "/v1/namespaces/c/functions/cognite/secrets/LD_PRELOAD", b"x"),
        ("PUT", "/v1/namespaces/c/functions/cognite/secrets/" + "A" * 5000, b"x"),
        ("PUT", "/v1/namespaces/c/functions/co'gnite/secrets/KEY", b"x"),
        ("POST", "/v1/namespaces/c/functions/cognite/secrets/KEY/rollback", b"\xff\xfe{}"),
        ("POST", "/v1/vault/rotate?to=mine", b"{"),
        ("POST", "/v1/deployments", b'{"namespace": 7}'),
        ("GET", "/v1/namespaces/c/functions/cognite/secrets?after=' OR 1=1", None),
    ],
)
def test_S7_the_api_s_errors_show_no_inside(house: Server, method: str, target: str, body: bytes | None) -> None:
    answer = house.api(method, target.replace(" ", "%20"), body)
    if answer.status < 400:
        assert target.startswith("/v1/vault/rotate"), answer.text
        return
    details = problem(answer)
    assert answer.status < 500, details
    for inside in ("swift", "SQL", "sqlite", "/v1/server/", str(house.data), "Optional(", "Error(", "0x"):
        assert inside not in answer.text


# ---------------------------------------------------------------- S8: processes and what runs them


def everywhere(server: Server) -> Iterator[tuple[str, bytes]]:
    """What the host shows of processes, and what runs sandboxes has on disk while they run."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            for name in ("environ", "cmdline"):
                with contextlib.suppress(OSError):
                    yield f"{entry}/{name}", (entry / name).read_bytes()
    roots = {Path("/run/casemate")} | {Path(f"/proc/{warden.pid}/root/run/casemate") for warden in server.wardens()}
    for root in roots:
        for folder, _, files in os.walk(root):
            # One empty file for each of thousands of users.
            if folder.endswith("/uids"):
                continue
            for name in files:
                with contextlib.suppress(OSError):
                    if (Path(folder) / name).is_file():
                        yield f"{folder}/{name}", (Path(folder) / name).read_bytes()


@pytest.mark.case("S8")
@pytest.mark.guarantee("COG-10", "SCW-6")
def test_S8_while_functions_start_and_run_neither_processes_nor_crun_s_files_show_a_value(house: Server) -> None:
    names = ["cognite", "scaleway", "isolated"]
    for name in names:
        secret(house, f"c/{name}")
    held = [
        threading.Thread(target=house.call, args=(f"c/{name}",), kwargs={"body": {"way": "hold", "s": 3}})
        for name in names
    ]
    for thread in held:
        thread.start()
    end = time.monotonic() + 2.2
    looked: set[str] = set()
    states = 0
    while time.monotonic() < end:
        for place, content in everywhere(house):
            looked.add(re.sub(r"/\d+/", "/N/", place))
            for text in VALUES.values():
                assert text.encode() not in content, place
        warden = house.wardens()[-1].pid
        for root in Path(f"/proc/{warden}/root/run/casemate").glob("c*/sb/.crun"):
            inside = f"/run/casemate/{root.parts[-3]}/sb/.crun"
            for sandbox in root.iterdir():
                order = ["nsenter", "-t", str(warden), "-m", "-p", "crun", "--root", inside, "state", sandbox.name]
                shown = subprocess.run(order, capture_output=True, timeout=10)
                states += b'"status"' in shown.stdout
                absent(shown.stdout + shown.stderr, "crun state")
    for thread in held:
        thread.join()
    assert (
        any(place.endswith("config.json") for place in looked) and states
    ), f"nothing was looked at: {sorted(looked)[:40]} {states}"
    for place, content in everywhere(house):
        absent(content, place)


@pytest.mark.case("S8")
@pytest.mark.guarantee("SCW-6")
def test_S8_a_value_in_a_function_s_environment_is_in_no_environ_file_inside_its_sandbox_either(house: Server) -> None:
    source = handler("""
        import os, subprocess
        def handle(event, context):
            value = os.environ["KEY"]
            found = []
            for entry in os.listdir("/proc"):
                for name in ("environ", "cmdline"):
                    try:
                        if value.encode() in open("/proc/" + entry + "/" + name, "rb").read():
                            found.append(entry + "/" + name)
                    except OSError:
                        pass
            return found
        """)
    secret(house, "c/inside")
    house.deploy("c", "inside", source, {"secrets": ["KEY"]})
    assert house.call("c/inside").json() == []


@pytest.mark.case("S8")
def test_S8_the_logs_of_server_and_warden_at_their_most_talkative_show_no_value(house: Server) -> None:
    house.call("c/cognite", body={"way": "raise"})
    house.api("PUT", path("c/logged"), VALUES[next(iter(VALUES))].encode() + b"\0")
    absent("".join(house.out + house.err), "the servers' log", hashed=True)


# ---------------------------------------------------------------- S16: the pool


@pytest.mark.case("S16")
def test_S16_nothing_of_one_function_is_in_the_memory_or_the_files_of_the_next(house: Server) -> None:
    source = handler("""
        import ctypes, os
        KEPT = []
        def handle(data, secrets):
            if "mark" in data:
                KEPT.append(data["mark"] * 1000)
                KEPT.append(secrets["KEY"] * 1000)
                for folder in ("/tmp", "/dev/shm"):
                    open(folder + "/marked", "w").write(data["mark"] * 1000 + secrets["KEY"] * 100)
                return os.getpid()
            # Backwards, so that looking does not put there what is looked for.
            wanted = [text.encode() for text in data["backwards"]]
            found, looked = [], 0
            for line in open("/proc/self/maps"):
                span, mode, _, _, inode = line.split()[:5]
                # Files are the same for all; what a process writes is anonymous.
                if mode[0] != "r" or inode != "0" or "[v" in line:
                    continue
                start, end = (int(number, 16) for number in span.split("-"))
                content = ctypes.string_at(start, end - start)[::-1]
                looked += len(content)
                found += [line for text in wanted if text in content]
            files = [f for folder in ("/tmp", "/dev/shm") for f in os.listdir(folder)]
            return {"found": found, "files": files, "looked": looked}
        """)
    mark = "mark-" + randomness.token_hex(16)
    theirs = secret(house, "c/first")
    for name in ("first", "second", "third"):
        if name != "first":
            secret(house, f"c/{name}")
        house.deploy("c", name, source, {"secrets": ["KEY"], "scale": {"max": 1}})
    marked = house.sandboxes().keys()
    assert house.call("c/first", body={"mark": mark}).status == 200
    assert house.cli("function", "delete", "c/first")[0] == 0
    wait_until(lambda: set(house.sandboxes()) - set(marked), 2)
    for name in ("second", "third"):
        for _ in range(3):
            answer = house.call(f"c/{name}", body={"backwards": [mark[::-1], theirs[::-1]]})
            found = answer.json()
            assert found["looked"] > 1 << 20 and found["found"] == [] and found["files"] == []
            secret(house, f"c/{name}")


# ---------------------------------------------------------------- S17: values where they don't belong


@pytest.mark.case("S17")
@pytest.mark.parametrize("form", ["mapping", "assignment", "pair", "named"])
def test_S17_a_value_among_the_secrets_of_a_manifest_is_refused_and_not_shown(house: Server, form: str) -> None:
    pasted = "sk_live_" + randomness.token_hex(14)
    written = {
        "mapping": {"KEY": pasted},
        "assignment": [f"KEY={pasted}"],
        "pair": [f"KEY: {pasted}"],
        "named": [{"name": "KEY", "value": pasted}],
    }
    outcome = house.try_deploy("c", "pasted", BUSY, {"secrets": written[form]})
    assert outcome.code == 2 and "casemate secret set c/pasted KEY" in outcome.err
    assert_absent(outcome.said, pasted, "the answer")


@pytest.mark.case("S17")
@pytest.mark.guarantee("AZR-9")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("API_KEY", "sk_live_" + randomness.token_hex(14)),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("DB_PASSWORD", "hunter2-hunter2"),
        ("CONNECTION", "postgres://app:" + randomness.token_hex(8) + "@db.example.com/app"),
    ],
    ids=["a key", "a cloud's key", "a password", "a password in a URL"],
)
def test_S17_a_value_that_looks_like_a_secret_under_env_is_refused_or_warned_of(
    house: Server, name: str, text: str
) -> None:
    house.namespace("c")
    outcome = house.try_deploy("c", "in-env", BUSY, {"env": {name: text}})
    assert outcome.code != 0 or name in json.dumps(outcome.first["diagnostics"]), "deployed without a word"
    assert_absent(outcome.said, text, "the answer")


@pytest.mark.case("S17")
def test_S17_a_stored_value_under_env_is_refused_like_one_in_the_source(house: Server) -> None:
    known = f"known-{randomness.token_hex(14)}"
    assert put(house, "c/known", known).status == 200
    outcome = house.try_deploy("c", "known", BUSY, {"secrets": ["KEY"], "env": {"COPY": known}})
    house.cli("function", "delete", "c/known")
    assert outcome.code == 1 and "COPY" in outcome.said, "it was deployed, and stands in casemate.db"
    assert_absent(outcome.said, known, "the answer")


@pytest.mark.case("S17")
def test_S17_a_credential_in_the_query_is_none_and_is_nowhere_afterwards(house: Server) -> None:
    token = house.token("c")["token"]
    for name in ("token", "access_token", "key", "api_key", "X-Auth-Token", "Authorization"):
        assert house.call("c/scaleway", path=f"?{name}={token}", key=None).status == 401
        assert house.api("GET", f"/v1/status?{name}={house.key}", key=None).status == 401
    assert token not in "".join(house.out + house.err) and house.key not in "".join(house.out + house.err)
    assert token not in json.dumps(house.api("GET", "/v1/audit?tail=10000").json())


@pytest.mark.case("S17")
def test_S17_a_value_in_the_query_of_setting_it_is_refused(house: Server) -> None:
    before = house.api("GET", path("c/scaleway")).json()["versions"][0]["version"]
    answer = house.api("PUT", path("c/scaleway") + "?value=in-the-query-1234", VALUES[next(iter(VALUES))].encode())
    assert answer.status == 400, "the query was passed over without a word"
    assert house.api("GET", path("c/scaleway")).json()["versions"][0]["version"] == before


# ---------------------------------------------------------------- core dumps


def core_limit(pid: int) -> list[str]:
    line = next(
        line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max core file size")
    )
    return line.split()[4:6]


def test_a_sandbox_s_processes_may_leave_no_core_and_one_that_crashes_leaves_none(house: Server) -> None:
    thread = threading.Thread(target=house.call, args=("c/cognite",), kwargs={"body": {"way": "hold", "s": 1}})
    thread.start()
    time.sleep(0.4)
    members = [process for found in house.sandboxes().values() for process in found]
    assert members and {tuple(core_limit(process.pid)) for process in members} == {("0", "0")}
    thread.join()
    before = cores()
    for way in ("abort", "fault"):
        assert house.call("c/cognite", body={"way": way}).status == 502
    assert cores() == before


def cores() -> set[str]:
    """Core files where processes of ours work."""
    found = set()
    for folder in ("/", "/tmp", "/var/lib/systemd/coredump", "/var/crash", str(REPOSITORY)):
        with contextlib.suppress(OSError):
            found |= {f"{folder}/{name}" for name in os.listdir(folder) if re.match(r"core(\.|$)|.*\.core$", name)}
    return found


@pytest.fixture(scope="module")
def crashed() -> Iterator[tuple[Server, str, dict[str, Any]]]:
    """A server that was started with no limit on core files, had a secret in its memory, and got a signal as from a fault in its code."""
    with Server(options=("--pool-size", "1"), prefix=("prlimit", "--core=unlimited:unlimited")) as server:
        server.namespace("d")
        text = secret(server, "d/f")
        # `up` replaces itself, so the process that was started is the server.
        process = processes()[server.pid]
        other = ["setpriv", "--reuid", str(process.uids[1]), "--clear-groups", "cat", f"/proc/{server.pid}/environ"]
        seen: dict[str, Any] = {
            "command": process.command,
            "uid": process.uids[1],
            "limit": core_limit(server.pid)[0],
            "owner": Path(f"/proc/{server.pid}/mem").stat().st_uid,
            "looked": subprocess.run(other, capture_output=True),
            "folder": Path(os.readlink(f"/proc/{server.pid}/cwd")),
            "before": cores(),
        }
        os.kill(server.pid, signal.SIGSEGV)
        wait_until(lambda: not server.is_running(), 3)
        seen["ended by itself"] = not server.is_running()
        if server.is_running():
            # Of those that end with a core one that nobody catches.
            os.kill(server.pid, signal.SIGSYS)
        wait_until(lambda: not server.is_running(), 10)
        wait_until(lambda: not server.remains(), 10)
        yield server, text, seen


def test_the_server_leaves_no_core_though_the_limit_lets_it_and_its_memory_is_root_s(
    crashed: tuple[Server, str, dict[str, Any]],
) -> None:
    server, text, seen = crashed
    assert seen["command"].endswith(" serve") and seen["uid"] != 0 and seen["limit"] == "unlimited"
    assert seen["owner"] == 0, "PR_SET_DUMPABLE is off"
    assert (
        seen["looked"].returncode != 0 and b"Permission denied" in seen["looked"].stderr
    ), "not even its own user may look into it"
    assert not server.is_running() and cores() == seen["before"]
    for file in seen["folder"].glob("core*"):
        if file.is_file():
            assert text.encode() not in file.read_bytes()


def test_a_server_that_crashes_writes_nothing_of_its_memory_into_its_log(
    crashed: tuple[Server, str, dict[str, Any]],
) -> None:
    server, text, _ = crashed
    said = "".join(server.err)
    assert not re.search(r"^ ?r[a-z0-9]{1,2}\s+0x[0-9a-f]+\s+([0-9a-f]{2} ){8}", said, re.M), said[
        said.find("Registers") :
    ][:600]
    assert_absent(said, text, "the server's log")


# ---------------------------------------------------------------- after everything


def contents(file: Path) -> Iterator[tuple[str, bytes]]:
    """A file, and what is packed in it."""
    raw = file.read_bytes()
    yield str(file), raw
    if raw[:4] == b"PK\3\4":
        with zipfile.ZipFile(io.BytesIO(raw)) as packed:
            for name in packed.namelist():
                yield f"{file}:{name}", packed.read(name)
    elif raw[:2] == b"\x1f\x8b":
        with contextlib.suppress(OSError, EOFError):
            yield f"{file} unpacked", gzip.decompress(raw)


@pytest.mark.case("S1")
@pytest.mark.guarantee("COG-4", "KYM-9")
def test_COG_4_after_everything_no_value_is_anywhere_in_the_data_folder(house: Server) -> None:
    assert len(VALUES) > 20
    assert house.api("POST", "/v1/vault/rotate").status == 202
    for name in ("cognite", "isolated"):
        assert house.cli("function", "delete", f"c/{name}")[0] == 0
    looked = 0
    for when in ("running", "stopped"):
        if when == "stopped":
            house.stop()
        for file in house.folder.rglob("*"):
            if file.is_file() and not file.is_symlink():
                for place, content in contents(file):
                    looked += 1
                    for text in VALUES.values():
                        form = found_in(content, text)
                        assert form is None, f"{when}: {place} has {form!r}"
    assert looked > 50
    absent("".join(house.out + house.err), "the server's log")
