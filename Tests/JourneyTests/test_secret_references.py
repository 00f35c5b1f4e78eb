"""Secrets whose value is kept elsewhere: files that an orchestrator mounts, and what the service manager hands over."""

from __future__ import annotations

import os
import secrets as randomness
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from accounts import Account, account
from casemate_fixture import Answer, Outcome, Server, handler, problem, wait_until
from secret_calls import put, records, value
from spellings import assert_absent

TELLS = handler("""
    import os
    def handle(data, secrets):
        data = data or {}
        if data.get("die"):
            os._exit(1)
        if "text" in data:
            print(data["text"])
        return {"length": len(secrets["DB"]), "last": secrets["DB"][-1:], "text": data.get("text")}
    """)


class Places:
    """The folder of --secret-files, and what the service manager gives."""

    def __init__(self, root: Path) -> None:
        self.files, self.credentials, self.outside = root / "files", root / "credentials", root / "outside"
        for folder in (self.files / "plant", self.files / "plant2", self.credentials, self.outside):
            folder.mkdir(parents=True)
        for folder in (root, self.files, self.files / "plant", self.files / "plant2", self.outside):
            folder.chmod(0o755)

    def put(self, path: str, content: str | bytes, mode: int = 0o644) -> str:
        """As a mount does it: the new file is there at once."""
        file = self.files / path
        fresh = file.with_name(file.name + ".new")
        fresh.write_bytes(content.encode() if isinstance(content, str) else content)
        fresh.chmod(mode)
        os.rename(fresh, file)
        return content if isinstance(content, str) else ""


@pytest.fixture(scope="module")
def places() -> Iterator[Places]:
    with tempfile.TemporaryDirectory(prefix="casemate-places-") as root:
        yield Places(Path(root))


CREDENTIALS = {
    "db": "credential-" + randomness.token_hex(10) + "\n",
    "pem": "-----BEGIN-----\n" + randomness.token_hex(20) + "\n-----END-----\n",
}


@pytest.fixture(scope="module")
def elsewhere(places: Places) -> Iterator[Server]:
    for name, content in CREDENTIALS.items():
        (places.credentials / name).write_text(content)
        (places.credentials / name).chmod(0o400)
    options = ("--secret-files", str(places.files), "--pool-size", "3")
    with Server(options=options, environment={"CREDENTIALS_DIRECTORY": str(places.credentials)}) as server:
        allow(server, "r", "file://plant/*", "credential://db", "credential://pem")
        yield server


def allow(server: Server, namespace: str, *patterns: str) -> None:
    server.namespace(namespace)
    answer = server.api("PUT", f"/v1/namespaces/{namespace}/policy", {"secretSources": list(patterns)})
    assert answer.status == 200, answer.text


def refer(server: Server, function: str, reference: str, source: dict[str, str] = TELLS, **keys: Any) -> Outcome:
    namespace, name = function.split("/")
    return server.try_deploy(namespace, name, source, {"secrets": [{"name": "DB", "from": reference}], **keys})


def deployed(server: Server, function: str, reference: str, source: dict[str, str] = TELLS, **keys: Any) -> None:
    outcome = refer(server, function, reference, source, **keys)
    assert outcome.code == 0, outcome.said


# ---------------------------------------------------------------- what takes half a minute begins first


@pytest.fixture(scope="module", autouse=True)
def aging(elsewhere: Server, places: Places) -> dict[str, Any]:
    """Functions that run with a value which has changed, or gone, elsewhere; they are looked at in the last tests."""
    seen: dict[str, Any] = {}
    for name in ("changing", "leaving", "kept-up", "isolated"):
        seen[name] = places.put(f"plant/{name}", f"{name}-first-" + randomness.token_hex(10))
    for name, keys in (
        ("changing", {}),
        ("leaving", {"scale": {"max": 2}}),
        ("kept-up", {"scale": {"min": 1, "max": 1}}),
        ("isolated", {"isolate": "call"}),
    ):
        deployed(elsewhere, f"r/{name}", f"file://plant/{name}", **keys)
        assert elsewhere.call(f"r/{name}", body={}).status == 200
    for name in ("changing", "isolated"):
        seen[name + " new"] = places.put(f"plant/{name}", f"{name}-second-and-longer-" + randomness.token_hex(10))
    for name in ("leaving", "kept-up"):
        (places.files / "plant" / name).unlink()
    changed = time.monotonic()

    def all_noticed() -> bool:
        return all(
            (
                elsewhere.call("r/changing", body={}).json().get("length") == len(seen["changing new"]),
                elsewhere.call("r/isolated", body={}).json().get("length") == len(seen["isolated new"]),
                bool(elsewhere.messages("r/leaving")),
                bool(elsewhere.messages("r/kept-up")),
            )
        )

    def watch() -> None:
        if wait_until(all_noticed, 45, 1):
            seen["after"] = time.monotonic() - changed

    seen["watch"] = threading.Thread(target=watch, daemon=True)
    seen["watch"].start()
    return seen


# ---------------------------------------------------------------- the way it is meant to be used


def test_a_function_whose_only_secret_is_kept_elsewhere_runs_with_its_value(elsewhere: Server, places: Places) -> None:
    text = places.put("plant/alone", value(24))
    keys = {"secrets": [{"name": "DB", "from": "file://plant/alone"}]}
    elsewhere.deploy("r", "alone", TELLS, keys)
    answer = elsewhere.call("r/alone", body={"text": text})
    assert answer.status == 200, answer.text
    assert answer.json() == {"length": 24, "last": text[-1], "text": "[secret:DB]"}


@pytest.mark.guarantee("AZR-9")
def test_AZR_9_a_value_from_a_file_is_given_to_the_function_and_redacted_like_any_other(
    elsewhere: Server, places: Places
) -> None:
    text = places.put("plant/db", value(24))
    deployed(elsewhere, "r/db", "file://plant/db")
    answer = elsewhere.call("r/db", body={"text": text + " " + text.encode().hex()})
    assert answer.json() == {"length": 24, "last": text[-1], "text": "[secret:DB] [secret:DB]"}
    assert elsewhere.messages("r/db", answer.call_id) == ["[secret:DB] [secret:DB]"]
    for file in elsewhere.data.rglob("*"):
        if file.is_file():
            assert_absent(file.read_bytes(), text, str(file))
    used = [record["details"]["secrets"] for record in records(elsewhere, "secret.used", "r/db")]
    assert any("DB" in names for names in used), "the audit log has its use"


@pytest.mark.guarantee("AZR-9")
@pytest.mark.parametrize("name", ["db", "pem"])
def test_AZR_9_a_credential_of_the_service_manager_is_given_to_the_function(elsewhere: Server, name: str) -> None:
    deployed(elsewhere, f"r/credential-{name}", f"credential://{name}")
    answer = elsewhere.call(f"r/credential-{name}", body={"text": CREDENTIALS[name]})
    # The line end of a single line is cut.
    length = len(CREDENTIALS[name]) - (name == "db")
    assert answer.json()["length"] == length and "[secret:DB]" in answer.json()["text"]
    assert CREDENTIALS[name].splitlines()[len(CREDENTIALS[name].splitlines()) // 2] not in answer.text


def test_the_server_holds_no_descriptor_or_variable_with_a_credential(elsewhere: Server) -> None:
    for process in [elsewhere.pid, *(warden.pid for warden in elsewhere.wardens())]:
        folder = Path(f"/proc/{process}")
        assert_absent((folder / "environ").read_bytes(), CREDENTIALS["db"].strip(), "environ")
        for descriptor in (folder / "fd").iterdir():
            try:
                assert "memfd:credentials" not in os.readlink(descriptor), f"{process} keeps it open"
            except FileNotFoundError:
                continue


@pytest.mark.parametrize("name", ["env", "inject"])
def test_a_reference_works_for_a_scaleway_function_and_for_one_that_never_gets_the_value(
    elsewhere: Server, places: Places, name: str
) -> None:
    text = places.put(f"plant/{name}", value(28))
    secret: dict[str, Any] = {"name": "DB", "from": f"file://plant/{name}"}
    keys: dict[str, Any] = {}
    if name == "inject":
        secret |= {"deliver": "inject", "host": "api.example.com", "header": "Authorization", "format": "Bearer {}"}
        keys["egress"] = ["api.example.com:443"]
    source = handler(
        "import os\ndef handle(event, context):\n    return {'length': len(os.environ['DB']), 'text': event['body']}\n"
    )
    elsewhere.deploy("r", f"as-{name}", source, {"secrets": [secret], **keys})
    found = elsewhere.call(f"r/as-{name}", body=text.encode(), headers={"Content-Type": "text/plain"}).json()
    assert found["text"] == "[secret:DB]"
    assert (found["length"] == 28) == (name == "env")


# ---------------------------------------------------------------- who may have what


def test_without_an_entry_in_the_policy_nothing_is_had(elsewhere: Server, places: Places) -> None:
    places.put("plant/db", value())
    elsewhere.namespace("nothing")
    outcome = refer(elsewhere, "nothing/f", "file://plant/db")
    assert outcome.code == 1 and outcome.first["problemType"] == "/problems/forbidden"
    assert "secretSources" in outcome.first["problem"] and "file://plant/db" in outcome.first["problem"]


@pytest.mark.parametrize(
    "reference",
    [
        "file://plant2/db",
        "file://plant",
        "file://plan/db",
        "file://plantx",
        "credential://db2",
        "credential://d",
        "credential://db/x",
    ],
)
def test_I9_what_only_looks_like_an_entry_of_the_policy_is_not_had(
    elsewhere: Server, places: Places, reference: str
) -> None:
    places.put("plant2/db", value())
    outcome = refer(elsewhere, "r/like", reference)
    assert outcome.code == 1 and outcome.first["problemType"] == "/problems/forbidden", outcome.said


@pytest.mark.parametrize(
    "reference",
    [
        "file://plant/../plant2/db",
        "file://plant/./db",
        "file://plant//db",
        "file:///etc/passwd",
        "file://../x",
        "file://plant/%2e%2e/plant2/db",
        "file://plant/db\n",
        "file://plant/d b",
        "FILE://plant/db",
        "file:/plant/db",
        "file://",
        "file://*",
        "file://plant/*",
        "vault://plant/db",
        "https://example.com/db",
        "@Microsoft.KeyVault(SecretUri=https://x)",
        "",
    ],
)
def test_a_reference_of_another_form_is_refused_with_the_right_one_and_never_quoted(
    elsewhere: Server, reference: str
) -> None:
    outcome = refer(elsewhere, "r/form", reference)
    assert outcome.code == 2 and "casemate.yaml:7" in outcome.err and "file://plant/db" in outcome.err, outcome.said
    if len(reference) > 8 and reference not in ("file://plant/db\n", "FILE://plant/db"):
        assert reference not in outcome.said


@pytest.mark.case("S17")
@pytest.mark.parametrize("key", ["from", "value", "name", "host", "header", "format", "deliver"])
def test_S17_a_value_that_is_written_into_the_manifest_is_refused_and_never_echoed(elsewhere: Server, key: str) -> None:
    pasted = "hunter2:" + randomness.token_hex(12)
    secret = {"name": "DB", "from": "file://plant/db", key: pasted}
    elsewhere.namespace("r")
    outcome = elsewhere.try_deploy("r", "pasted", TELLS, {"secrets": [secret]})
    assert outcome.code == 2
    assert_absent(outcome.said, pasted, "the answer")
    assert_absent("".join(elsewhere.err), pasted, "the server's log")
    assert_absent(str(elsewhere.api("GET", "/v1/audit?tail=10000").json()), pasted, "the audit log")


def test_a_place_that_the_server_is_not_set_up_for_is_named_so(elsewhere: Server) -> None:
    allow(elsewhere, "cloud", "aws-sm://*")
    outcome = refer(elsewhere, "cloud/f", "aws-sm://prod/db")
    assert (
        outcome.code == 1
        and "aws-sm" in outcome.first["problem"]
        and outcome.first["problemType"] == "/problems/unavailable"
    )


def test_a_server_without_such_a_folder_says_so_when_a_function_is_deployed(server: Server) -> None:
    allow(server, "no-places", "file://*", "credential://*")
    for reference in ("file://plant/db", "credential://db"):
        outcome = refer(server, "no-places/f", reference)
        assert outcome.code == 1 and outcome.first["problemType"] == "/problems/unavailable"
        assert (
            "secret-files" in outcome.first["problem"] or "LoadCredential" in outcome.first["problem"]
        ), outcome.first["problem"]


@pytest.fixture(scope="module")
def owner(elsewhere: Server) -> Account:
    return account(elsewhere, "owned", ("admin", "owned"))


def policy(owner: Account, *patterns: str, **more: Any) -> int:
    return owner.api("PUT", "/v1/namespaces/owned/policy", {"secretSources": list(patterns), **more}).status


def test_only_the_administrator_of_the_server_adds_entries_and_the_namespace_s_own_may_drop_them(
    elsewhere: Server, owner: Account
) -> None:
    assert policy(owner, "file://plant/*") == 403
    assert policy(owner) == 200
    allow(elsewhere, "owned", "file://plant/db", "file://plant2/*")
    assert policy(owner, "file://plant/db", "file://plant2/*", development=True) == 200, "what is there may stay"
    for wider in ("file://plant/*", "file://*", "file://plant2/db", "credential://db"):
        assert policy(owner, "file://plant/db", wider) == 403, wider
    assert policy(owner, "file://plant/db") == 200
    assert policy(owner, "file://plant/db", "file://plant2/*") == 403, "dropped is dropped"


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "file:*",
        "file://plant*",
        "file://*/db",
        "file://plant/**",
        "file://plant/../*",
        "file://plant/db?x=1",
        "file://",
        "vault://*",
        "FILE://*",
        7,
    ],
)
def test_an_entry_of_another_form_is_refused(elsewhere: Server, pattern: Any) -> None:
    elsewhere.namespace("forms")
    answer = elsewhere.api("PUT", "/v1/namespaces/forms/policy", {"secretSources": [pattern]})
    assert answer.status == 400, answer.text
    assert problem(answer)


def test_an_entry_that_is_taken_back_ends_what_runs_with_it(elsewhere: Server, places: Places) -> None:
    places.put("plant/taken", value())
    allow(elsewhere, "taken", "file://plant/taken")
    deployed(elsewhere, "taken/f", "file://plant/taken")
    assert elsewhere.call("taken/f", body={}).status == 200
    allow(elsewhere, "taken")
    answer = elsewhere.call("taken/f", body={})
    assert answer.status == 503 and problem(answer)["type"] == "/problems/secret-unavailable"
    assert "plant" not in answer.text, "whoever calls need not know of places"
    assert any("policy" in line for line in elsewhere.messages("taken/f"))
    allow(elsewhere, "taken", "file://plant/taken")
    assert elsewhere.call("taken/f", body={}).status == 200


# ---------------------------------------------------------------- what lies in the folder


@pytest.fixture(scope="module")
def lain(elsewhere: Server, places: Places) -> Iterator[Callable[[], Answer]]:
    """Calls a function whose value is in plant/lies, with an instance of its own."""
    places.put("plant/lies", value())
    deployed(elsewhere, "r/lies", "file://plant/lies")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(places.outside / "socket"))

        def call() -> Answer:
            assert put(elsewhere, "r/lies", value(), "OTHER").status == 200
            return elsewhere.call("r/lies", body={})

        yield call


def lay(places: Places, what: str) -> None:
    """Puts something that is no ordinary file of text in the place of plant/lies."""
    place = places.files / "plant" / "lies"
    if place.is_dir() and not place.is_symlink():
        place.rmdir()
    else:
        place.unlink(missing_ok=True)
    (places.outside / "value").write_text("outside-the-folder-1")
    contents = {
        "too large": b"x" * 65_537,
        "empty": b"",
        "a line end alone": b"\n",
        "NUL": b"before\0after-it",
        "Latin-1": b"caf\xe9-and-more",
    }
    links = {
        "a link out": str(places.outside / "value"),
        "a relative link out": "../../outside/value",
        "a link to the server's own environment": "/proc/self/environ",
        "a link to itself": "lies",
    }
    if what in contents:
        place.write_bytes(contents[what])
    elif what in links:
        place.symlink_to(links[what])
    elif what == "a pipe":
        os.mkfifo(place, 0o666)
    elif what == "a folder":
        place.mkdir()
    elif what == "a device":
        os.mknod(place, 0o20666, os.makedev(1, 5))
        place.chmod(0o666)
    elif what == "a socket":
        os.link(places.outside / "socket", place)
    elif what == "a file of another's":
        place.write_text(value())
        place.chmod(0o600)


@pytest.mark.parametrize(
    "what",
    [
        "nothing",
        "too large",
        "empty",
        "a line end alone",
        "NUL",
        "Latin-1",
        "a link out",
        "a relative link out",
        "a link to the server's own environment",
        "a link to itself",
        "a pipe",
        "a folder",
        "a device",
        "a socket",
        "a file of another's",
    ],
)
def test_what_is_no_ordinary_file_of_text_within_the_folder_is_not_had(
    elsewhere: Server, places: Places, lain: Callable[[], Answer], what: str
) -> None:
    lay(places, what)
    answer = lain()
    details = problem(answer)
    assert (answer.status, details["type"]) == (503, "/problems/secret-unavailable") and answer.seconds < 3
    assert "plant" not in answer.text and str(places.files) not in answer.text
    line = elsewhere.messages("r/lies")[-1]
    assert "file://plant/lies" in line and str(places.files) not in line and "outside" not in line


@pytest.mark.parametrize(
    ("content", "length"),
    [
        (b"0123456789abcdef\n", 16),
        (b"0123456789\nabcdef\n", 18),
        (b"0123456789\n\n", 12),
        (b"y" * 65_536, 65_536),
        (b"y" * 65_536 + b"\n", 65_536),
        (b"0123456789\r\n", 11),
    ],
    ids=["a line", "lines", "two line ends", "the largest", "the largest line", "CR and LF"],
)
def test_one_line_end_at_the_end_of_a_single_line_is_cut_and_nothing_else(
    places: Places, lain: Callable[[], Answer], content: bytes, length: int
) -> None:
    # As `casemate secret set` does with what is piped to it.
    lay(places, "nothing")
    places.put("plant/lies", content)
    assert lain().json()["length"] == length


def test_a_value_that_can_t_be_had_ends_a_deployment_with_the_reference_and_no_path(
    elsewhere: Server, places: Places
) -> None:
    outcome = refer(elsewhere, "r/not-there", "file://plant/not-there")
    assert outcome.code == 1 and outcome.first["problemType"] == "/problems/secret-unavailable"
    assert "file://plant/not-there" in outcome.first["problem"] and str(places.files) not in outcome.said


def test_links_within_the_folder_are_followed_as_kubernetes_makes_them(elsewhere: Server, places: Places) -> None:
    plant = places.files / "plant"
    (plant / "..2026_01").mkdir()
    (plant / "..2026_01").chmod(0o755)
    text = places.put("plant/..2026_01/mounted", value(31))
    (plant / "..data").symlink_to("..2026_01")
    (plant / "mounted").symlink_to("..data/mounted")
    deployed(elsewhere, "r/mounted", "file://plant/mounted")
    assert elsewhere.call("r/mounted", body={"text": text}).json() == {
        "length": 31,
        "last": text[-1],
        "text": "[secret:DB]",
    }


def test_a_link_within_the_folder_leads_to_no_place_that_the_policy_does_not_allow(
    elsewhere: Server, places: Places
) -> None:
    places.put("plant2/theirs", "of-another-tenant-2")
    (places.files / "plant" / "to-theirs").symlink_to("../plant2/theirs")
    outcome = refer(elsewhere, "r/linked", "file://plant/to-theirs")
    assert outcome.code == 1, "the value of file://plant2/theirs was had as file://plant/to-theirs"


# ---------------------------------------------------------------- the vault and what is kept elsewhere


def test_a_sealed_vault_hands_out_no_value_from_elsewhere_either(elsewhere: Server, places: Places) -> None:
    places.put("plant/sealed", value(23))
    deployed(elsewhere, "r/sealed", "file://plant/sealed")
    assert elsewhere.api("POST", "/v1/vault/seal").status == 200
    try:
        answer = elsewhere.call("r/sealed", body={})
        assert problem(answer)["type"] == "/problems/vault-sealed"
    finally:
        assert elsewhere.api("POST", "/v1/vault/unseal").status == 200
    assert elsewhere.call("r/sealed", body={}).json()["length"] == 23


def test_a_deployment_in_a_sealed_vault_hands_out_no_value_from_elsewhere_either(
    elsewhere: Server, places: Places
) -> None:
    places.put("plant/sealed", value(23))
    allow(elsewhere, "fresh", "file://plant/*")
    source = {
        "handler.py": "import os\nraise ValueError('had %d characters' % len(os.environ.get('DB', '')))\ndef handle(event, context): ...\n"
    }
    keys = {"secrets": [{"name": "DB", "from": "file://plant/sealed"}], "signature": "scaleway"}
    assert elsewhere.api("POST", "/v1/vault/seal").status == 200
    try:
        outcome = elsewhere.try_deploy("fresh", "loaded", source, keys)
    finally:
        assert elsewhere.api("POST", "/v1/vault/unseal").status == 200
    assert "had 23 characters" not in outcome.said, "the handler was loaded with the value"
    assert outcome.first["problemType"] == "/problems/vault-sealed"


@pytest.mark.case("S14")
def test_S14_a_stored_value_that_a_reference_took_the_place_of_is_still_redacted(
    elsewhere: Server, places: Places
) -> None:
    before, after = "stored-" + value(), places.put("plant/moved", value(25))
    assert put(elsewhere, "r/moved", before, "DB").status == 200
    elsewhere.deploy("r", "moved", TELLS, {"secrets": ["DB"]})
    assert elsewhere.call("r/moved", body={"text": before}).json()["text"] == "[secret:DB]"
    elsewhere.deploy("r", "moved", TELLS, {"secrets": [{"name": "DB", "from": "file://plant/moved"}]})
    answer = elsewhere.call("r/moved", body={"text": f"{before} {after}"})
    assert answer.json() == {"length": 25, "last": after[-1], "text": "[secret:DB] [secret:DB]"}


def test_a_source_that_holds_a_value_from_elsewhere_is_refused_like_one_with_a_stored_value(
    elsewhere: Server, places: Places
) -> None:
    text = places.put("plant/in-source", value(30))
    source = handler(f"KEY = '{text}'\n" + TELLS["handler.py"])
    outcome = refer(elsewhere, "r/in-source", "file://plant/in-source", source)
    assert outcome.code == 1 and outcome.first["stage"] == "scan", "the value stands in the source, and it was deployed"
    assert_absent(outcome.said, text, "the answer")


# ---------------------------------------------------------------- half a minute later


@pytest.fixture(scope="module")
def aged(elsewhere: Server, aging: dict[str, Any]) -> dict[str, Any]:
    aging["watch"].join()
    return aging


@pytest.mark.guarantee("AZR-9")
def test_a_value_that_changed_elsewhere_reaches_calls_within_half_a_minute(
    elsewhere: Server, aged: dict[str, Any]
) -> None:
    assert aged.get("after", 99) < 38
    for name in ("changing", "isolated"):
        new = aged[name + " new"]
        answer = elsewhere.call(f"r/{name}", body={"text": new})
        assert answer.json() == {"length": len(new), "last": new[-1], "text": "[secret:DB]"}
        assert elsewhere.messages(f"r/{name}", answer.call_id) == ["[secret:DB]"]


@pytest.mark.guarantee("AZR-9")
def test_AZR_9_what_runs_goes_on_when_its_source_is_gone_and_what_would_start_is_refused_without_naming_it(
    elsewhere: Server, aged: dict[str, Any]
) -> None:
    assert elsewhere.call("r/leaving", body={}).json()["length"] == len(aged["leaving"]), "warm"
    # The source is asked every half a minute, and nobody is asked while a test before has the vault sealed.
    assert wait_until(lambda: records(elsewhere, "secret.unavailable", "r/leaving"), 10)
    elsewhere.call("r/leaving", body={"die": True})
    answer = elsewhere.call("r/leaving", body={})
    details = problem(answer)
    assert (answer.status, details["type"]) == (503, "/problems/secret-unavailable") and "retry-after" in answer.headers
    assert "plant" not in answer.text and "file" not in details["detail"].replace("file://", "file"), details
    assert any("file://plant/leaving" in line for line in elsewhere.messages("r/leaving")), "its log says which"
    noted = records(elsewhere, "secret.unavailable", "r/leaving")
    assert noted and noted[0]["outcome"] == "failed"


def test_the_log_of_a_function_that_runs_does_not_say_that_it_can_t_start(
    elsewhere: Server, aged: dict[str, Any]
) -> None:
    first = elsewhere.messages("r/kept-up")[0]
    assert "can't start" not in first, first


@pytest.mark.guarantee("AZR-9")
def test_AZR_9_a_source_that_is_back_is_used_by_itself(elsewhere: Server, places: Places, aged: dict[str, Any]) -> None:
    text = places.put("plant/leaving", value(27))
    found = wait_until(lambda: elsewhere.call("r/leaving", body={}).status == 200, 8, 0.5)
    assert found and elsewhere.call("r/leaving", body={}).json() == {"length": 27, "last": text[-1], "text": None}


def test_a_function_that_is_kept_up_recovers_too_when_its_source_is_back(
    elsewhere: Server, places: Places, aged: dict[str, Any]
) -> None:
    elsewhere.call("r/kept-up", body={"die": True})
    assert elsewhere.call("r/kept-up", body={}).status == 503
    places.put("plant/kept-up", value(29))
    found = wait_until(lambda: elsewhere.call("r/kept-up", body={}).status == 200, 8, 0.5)
    assert found, "8 s after its value is back it is still refused (it stays so for good)"


@pytest.mark.case("S14")
@pytest.mark.parametrize("function", ["changing", "isolated"])
def test_S14_the_old_value_from_elsewhere_stays_redacted_whatever_else_happens_to_the_function(
    elsewhere: Server, aged: dict[str, Any], function: str
) -> None:
    old, new = aged[function], aged[function + " new"]
    assert put(elsewhere, f"r/{function}", value(), "OTHER").status == 200
    answer = elsewhere.call(f"r/{function}", body={"text": f"{old} {new}"})
    assert answer.json()["text"] == "[secret:DB] [secret:DB]"
