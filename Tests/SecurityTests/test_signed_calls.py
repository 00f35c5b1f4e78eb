"""What is called of what somebody signed, and of what nobody did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from casemate_fixture import Answer, Server, handler, wait_until
from signed import house, keys  # noqa: F401
from ssh_signatures import (
    Keys,
    active,
    assert_runs,
    assert_untrusted,
    deployment,
    handler_of,
    refused,
    signer,
    supply_chain,
)


@dataclass
class Two:
    """A function whose revision 1 nobody signed and whose revision 2 ada did, in a namespace that requires it."""

    server: Server
    namespace: str
    keys: Keys

    @property
    def function(self) -> str:
        return f"{self.namespace}/hello"

    def require(self, *signers: dict[str, str], required: bool = True) -> None:
        supply_chain(self.server, self.namespace, *signers, requireSignature=required)

    def roll_back(self, number: int) -> Answer:
        return self.server.api("POST", f"{self.server.function_path(self.function)}/rollback", {"revision": number})


@pytest.fixture
def two(server: Server, house: str, keys: Keys) -> Two:
    made = Two(server, house, keys)
    deployment(server, made.function, handler_of(1)).by(None)
    deployment(server, made.function, handler_of(2)).by(keys("ada"))
    made.require(signer("ada", keys("ada")))
    assert_runs(server, made.function, 2)
    return made


@pytest.mark.guarantee("COG-27")
def test_COG_27_what_nobody_signed_is_not_called_where_signatures_are_required(
    server: Server, house: str, keys: Keys
) -> None:
    wanted = deployment(server, f"{house}/hello", handler_of(1))
    wanted.by(None)
    token = server.token(wanted.function)["token"]
    assert_runs(server, wanted.function, 1)
    supply_chain(server, house, signer("ada", keys("ada")), requireSignature=True)
    before = server.status()["calls"]
    assert_untrusted(server.call(wanted.function, body={}))
    assert_untrusted(server.call(wanted.function, body={}, key=None, token=token))
    assert_untrusted(server.call(wanted.function, method="GET", path="/a/path"))
    assert server.status()["calls"] == before
    anonymous = server.call(wanted.function, body={}, key=None)
    assert anonymous.status == 401, "who may not call learns nothing of it"
    code, out, err = server.cli("invoke", wanted.function, "--data", "{}")
    assert code != 0 and not out.strip() and err, out + err
    supply_chain(server, house, signer("ada", keys("ada")), requireSignature=False)
    assert_runs(server, wanted.function, 1)


@pytest.mark.guarantee("COG-27")
def test_COG_27_also_a_public_function_is_not_called_unsigned(server: Server, house: str, keys: Keys) -> None:
    wanted = deployment(server, f"{house}/hello", handler_of(1), {"access": "public"})
    wanted.by(None)
    assert_runs(server, wanted.function, 1, key=None)
    supply_chain(server, house, signer("ada", keys("ada")), requireSignature=True)
    assert_untrusted(server.call(wanted.function, body={}, key=None))
    wanted.by(keys("ada"))
    assert_runs(server, wanted.function, 1, key=None)


ASKING = handler("""
    import json
    import urllib.error
    import urllib.request

    def handle(data):
        try:
            with urllib.request.urlopen(urllib.request.Request(f"http://{data['host']}/", data=b"{}"), timeout=20) as answer:
                return {"status": answer.status}
        except urllib.error.HTTPError as error:
            return {"status": error.code, "type": json.loads(error.read())["type"]}
    """)


@pytest.mark.guarantee("COG-27")
def test_COG_27_functions_call_nothing_unsigned_either(server: Server, house: str, keys: Keys) -> None:
    outer, inner = f"{house}-outer/asking", f"{house}/hello"
    server.deploy(f"{house}-outer", "asking", ASKING)
    deployment(server, inner, handler_of(1), {"callers": [outer]}).by(None)
    asked = {"host": f"hello.{house}.internal"}
    assert server.call(outer, body=asked).json() == {"status": 200}
    supply_chain(server, house, signer("ada", keys("ada")), requireSignature=True)
    assert server.call(outer, body=asked).json() == {"status": 403, "type": "/problems/untrusted-version"}


@pytest.mark.guarantee("COG-27")
def test_COG_27_a_signer_who_is_taken_out_of_the_list_ends_what_they_signed_at_once(two: Two) -> None:
    two.require(signer("eve", two.keys("eve")))
    assert_untrusted(two.server.call(two.function, body={}))
    two.require()
    assert_untrusted(two.server.call(two.function, body={}))
    two.require(signer("ada", two.keys("ada")))
    assert_runs(two.server, two.function, 2)


@pytest.mark.guarantee("COG-27")
def test_COG_27_a_signer_is_who_has_the_key_and_not_who_has_the_name(two: Two) -> None:
    two.require(signer("ada", two.keys("eve")))
    assert_untrusted(two.server.call(two.function, body={}))
    two.require(signer("lovelace", two.keys("ada")))
    assert_runs(two.server, two.function, 2)
    assert active(two.server, two.function)["signedBy"] == {"name": "ada", "key": two.keys("ada").fingerprint}


@pytest.mark.guarantee("COG-27")
@pytest.mark.parametrize(
    ("begins", "ends", "runs"),
    [(None, 0.5, True), (-60, 0.5, True), (None, -0.5, False), (0.5, None, False), (-60, -0.5, False)],
    ids=["ended later", "was valid then", "had ended before", "not valid before then", "valid before alone"],
)
def test_COG_27_what_counts_is_whether_the_signer_was_valid_when_the_revision_was_made(
    two: Two, begins: float | None, ends: float | None, runs: bool
) -> None:
    made = datetime.fromisoformat(active(two.server, two.function)["signedAt"])
    times = [
        None if seconds is None else (made + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
        for seconds in (begins, ends)
    ]
    assert wait_until(lambda: datetime.now(UTC) > made + timedelta(seconds=1), 5), "all of it is past by now"
    two.require(signer("ada", two.keys("ada"), *times))
    if runs:
        assert_runs(two.server, two.function, 2)
    else:
        assert_untrusted(two.server.call(two.function, body={}))
    if ends is not None:
        wanted = deployment(two.server, two.function, handler_of(3))
        refused(wanted.outcome(wanted.signed(two.keys("ada"))))


@pytest.mark.guarantee("COG-27")
def test_COG_27_nobody_goes_back_to_a_revision_that_nobody_signed(two: Two) -> None:
    refusal = two.roll_back(1)
    assert_untrusted(refusal)
    code, _, err = two.server.cli("function", "rollback", two.function, "--revision", "1")
    assert code == 2 and err, err
    assert two.server.cli("function", "rollback", two.function)[0] == 2, "the one before it is that one"
    assert active(two.server, two.function)["number"] == 2
    assert_runs(two.server, two.function, 2)
    two.require(signer("ada", two.keys("ada")), required=False)
    assert two.roll_back(1).status == 200
    assert_runs(two.server, two.function, 1)


@pytest.mark.guarantee("COG-27")
def test_COG_27_one_goes_back_to_what_a_signer_of_today_has_signed(two: Two) -> None:
    two.require(signer("ada", two.keys("ada")), signer("eve", two.keys("eve")))
    deployment(two.server, two.function, handler_of(3)).by(two.keys("eve"))
    assert two.roll_back(2).status == 200
    assert_runs(two.server, two.function, 2)
    assert two.roll_back(3).status == 200
    two.require(signer("eve", two.keys("eve")))
    assert_untrusted(two.roll_back(2))
    assert_runs(two.server, two.function, 3)


@pytest.mark.guarantee("COG-27")
def test_COG_27_a_grant_of_egress_leaves_the_function_as_it_was_signed(two: Two) -> None:
    granted = two.server.api("PUT", f"{two.server.function_path(two.function)}/egress/api.example.com:443")
    assert granted.status == 200 and granted.json()["revision"] == 3, granted.text
    revision = active(two.server, two.function)
    assert (revision["number"], revision["signedBy"]["name"]) == (3, "ada")
    assert_runs(two.server, two.function, 2)
    two.require()
    assert_untrusted(two.server.call(two.function, body={}))


@pytest.mark.guarantee("COG-27")
def test_COG_27_after_a_restart_it_is_as_before(keys: Keys) -> None:
    with Server() as server:
        for name, key in (("signed", keys("ada")), ("unsigned", None)):
            supply_chain(server, "house", signer("ada", keys("ada")))
            deployment(server, f"house/{name}", handler_of(1)).by(key)
        supply_chain(server, "house", signer("ada", keys("ada")), requireSignature=True)
        before = active(server, "house/signed")
        server.stop()
        server.start()
        assert active(server, "house/signed") == before
        assert_runs(server, "house/signed", 1)
        assert_untrusted(server.call("house/unsigned", body={}))
