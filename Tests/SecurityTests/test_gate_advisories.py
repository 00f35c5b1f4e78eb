"""Advisories: what is known of packages is held against every deployment and, when more becomes known, against what is live."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import secrets as randomness
import stat
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accounts import account
from casemate_fixture import Server, archive, memory_in_kib, problem
from gate_answers import (
    V3_CRITICAL,
    V3_LOW,
    V3_MEDIUM,
    V4_CRITICAL,
    V4_LOW,
    advisory,
    found,
    import_advisories,
    importing,
    known,
    let_pass,
    osv_export,
    posture_of,
    recorded,
    refused_by_the_gate,
    set_policy,
    stored_advisories,
    waive,
)

SIX = {"handler.py": importing("six"), "requirements.txt": "# the only one\nsix==1.16.0\n"}
REQUESTS = {"handler.py": importing("requests"), "requirements.txt": "requests==2.31.0\n"}


@pytest.fixture(scope="module")
def gate() -> Iterator[Server]:
    """A server whose advisories are this module's alone, with two live functions."""
    with Server(options=("--pool-size", "2")) as server:
        assert stored_advisories(server) == {"records": 0, "isFresh": False}
        let_pass(server.try_deploy("known", "direct", SIX))
        let_pass(server.try_deploy("known", "transitive", REQUESTS))
        yield server


@pytest.fixture
def clean(gate: Server) -> Iterator[Server]:
    """Afterwards nothing is known of any package that is in use."""
    yield gate
    import_advisories(gate, advisory("PYSEC-2024-1", "no-such-package-here"))


def again(server: Server, function: str, source: dict[str, str]) -> Any:
    """A deployment that is none yet, so that it is looked at."""
    namespace, name = function.split("/")
    return server.try_deploy(
        namespace, name, {**source, "handler.py": source["handler.py"] + f"# {randomness.token_hex(4)}\n"}
    )


# ---------------------------------------------------------------- at a deployment


@pytest.mark.guarantee("KYM-8")
@pytest.mark.case("D7")
def test_D7_KYM_8_a_known_fault_of_a_package_that_is_named_is_refused_with_its_line_and_remedy(clean: Server) -> None:
    events = [{"introduced": "1.0"}, {"fixed": "1.17.0"}]
    import_advisories(clean, advisory("PYSEC-2024-10", "six", events, V3_CRITICAL))
    (finding,) = found(refused_by_the_gate(again(clean, "known/refused", SIX)), "PYSEC-2024-10")
    assert (finding["file"], finding["line"]) == ("requirements.txt", 2), finding
    assert "six" in finding["what"] and "1.16.0" in finding["what"] and "1.17.0" in finding["fix"], finding
    assert finding["finding"]["package"] == "pkg:pypi/six@1.16.0" and finding["finding"]["fixed"] == "1.17.0", finding
    assert finding["finding"]["level"] == "critical" and finding["finding"]["guarantee"] == "KYM-8", finding
    let_pass(again(clean, "known/refused", {**SIX, "requirements.txt": "six==1.17.0\n"}))


@pytest.mark.guarantee("KYM-8")
@pytest.mark.case("D7")
def test_D7_KYM_8_a_known_fault_of_what_a_package_needs_is_refused_too(clean: Server) -> None:
    import_advisories(clean, advisory("PYSEC-2024-11", "Charset_Normalizer", severity=V3_CRITICAL))
    (finding,) = found(refused_by_the_gate(again(clean, "known/refused-below", REQUESTS)), "PYSEC-2024-11")
    assert "charset-normalizer" in finding["what"] and finding["finding"]["package"].startswith(
        "pkg:pypi/charset-normalizer@"
    ), finding


@pytest.mark.guarantee("KYM-8")
@pytest.mark.case("D7")
def test_D7_KYM_8_of_a_transitive_package_it_is_said_what_needs_it(clean: Server) -> None:
    import_advisories(clean, advisory("PYSEC-2024-11", "certifi", severity=V3_CRITICAL))
    (finding,) = found(refused_by_the_gate(again(clean, "known/refused-below", REQUESTS)), "PYSEC-2024-11")
    assert "requests" in finding["what"] + finding["fix"], finding


@pytest.mark.guarantee("KYM-8")
@pytest.mark.case("D7")
def test_D7_KYM_8_severities_aliases_and_withdrawals_count_as_they_should(clean: Server) -> None:
    told = import_advisories(
        clean,
        advisory("PYSEC-2024-20", "certifi"),
        advisory("PYSEC-2024-21", "urllib3", severity=V4_CRITICAL),
        advisory("GHSA-aaaa-bbbb-cccc", "idna", severity=V3_CRITICAL, aliases=["CVE-2024-7777"]),
        advisory("PYSEC-2024-22", "idna", severity=V3_CRITICAL, aliases=["CVE-2024-7777"]),
        advisory("PYSEC-2024-23", "requests", severity=V3_CRITICAL, withdrawn=True),
        advisory("PYSEC-2024-24", "charset-normalizer", severity=V3_MEDIUM),
        advisory("PYSEC-2024-25", "charset-normalizer", severity=V3_LOW),
        advisory("PYSEC-2024-26", "charset-normalizer", severity=V4_LOW),
        advisory("PYSEC-2024-27", "requests", [{"introduced": "0"}, {"fixed": "2.31.0"}], V3_CRITICAL),
        advisory("PYSEC-2024-28", "requests", [{"introduced": "2.31.1"}], V3_CRITICAL),
        advisory("PYSEC-2024-29", "request", severity=V3_CRITICAL),
    )
    assert told["withdrawn"] == 1 and told["isFresh"] and told["imported"], told
    outcome = refused_by_the_gate(again(clean, "known/levels", REQUESTS))
    levels = {item["finding"]["rule"]: item["finding"]["level"] for item in found(outcome)}
    assert levels.pop("PYSEC-2024-20") == "high", "without a severity it counts as HIGH"
    assert levels.pop("PYSEC-2024-21") == "critical", "CVSS v4"
    assert {levels.pop(name) for name in ("GHSA-aaaa-bbbb-cccc", "PYSEC-2024-22") if name in levels} == {"critical"}
    assert levels == {"PYSEC-2024-24": "medium", "PYSEC-2024-25": "low", "PYSEC-2024-26": "low"}, levels
    (both,) = [item for item in found(outcome) if "pkg:pypi/idna" in item["finding"]["package"]]
    assert all(name in both["what"] for name in ("GHSA-aaaa-bbbb-cccc", "PYSEC-2024-22", "CVE-2024-7777")), both
    (unscored,) = found(outcome, "PYSEC-2024-20")
    assert "unscored" in unscored["what"], unscored


VERSIONS: dict[str, tuple[list[dict[str, str]], dict[str, Any], bool]] = {
    "introduced here": ([{"introduced": "1.16.0"}], {}, True),
    "introduced later": ([{"introduced": "1.16.1"}], {}, False),
    "fixed here": ([{"introduced": "0"}, {"fixed": "1.16.0"}], {}, False),
    "fixed by a later pre-release": ([{"introduced": "0"}, {"fixed": "1.17.0rc1"}], {}, True),
    "fixed by number and not by letter": ([{"introduced": "1.9"}, {"fixed": "1.100"}], {}, True),
    "last affected here": ([{"introduced": "0"}, {"last_affected": "1.16.0"}], {}, True),
    "last affected before": ([{"introduced": "0"}, {"last_affected": "1.15.9"}], {}, False),
    "between two ranges": ([{"introduced": "0"}, {"fixed": "1.10"}, {"introduced": "1.17"}], {}, False),
    "in the second range": ([{"introduced": "0"}, {"fixed": "1.10"}, {"introduced": "1.16"}], {}, True),
    "listed by its version": ([{"introduced": "2.0"}], {"versions": ["1.15.0", "1.16"]}, True),
    "of another ecosystem": ([{"introduced": "0"}], {"package": {"ecosystem": "npm", "name": "six"}}, False),
}


@pytest.mark.guarantee("KYM-8")
@pytest.mark.case("D7")
def test_D7_KYM_8_versions_are_compared_as_pep_440_has_it(clean: Server) -> None:
    records = [
        advisory(f"PYSEC-2024-{100 + number}", "six", events, V3_CRITICAL, **more)
        for number, (events, more, _) in enumerate(VERSIONS.values())
    ]
    import_advisories(clean, *records)
    hit = {item["finding"]["rule"] for item in found(refused_by_the_gate(again(clean, "known/versions", SIX)))}
    wanted = {f"PYSEC-2024-{100 + number}" for number, (_, _, affects) in enumerate(VERSIONS.values()) if affects}
    names = dict(zip([record["id"] for record in records], VERSIONS))
    assert hit == wanted, [names[name] for name in hit ^ wanted]


@pytest.mark.guarantee("KYM-8")
@pytest.mark.case("D7")
def test_D7_KYM_8_a_policy_may_let_unscored_ones_be_warnings(clean: Server) -> None:
    import_advisories(clean, advisory("PYSEC-2024-30", "six"))
    refused_by_the_gate(again(clean, "tolerant/f", SIX))
    set_policy(clean, "tolerant", unscored="warn")
    (finding,) = found(let_pass(again(clean, "tolerant/f", SIX)), "PYSEC-2024-30")
    assert finding["severity"] == "warning" and finding["finding"]["level"] in ("low", "medium"), finding
    refused_by_the_gate(again(clean, "known/unscored", SIX))
    import_advisories(clean, advisory("PYSEC-2024-30", "six", severity=V3_CRITICAL))
    refused_by_the_gate(again(clean, "tolerant/f", SIX))


@pytest.mark.guarantee("KYM-8", "AZR-17")
@pytest.mark.case("D7")
def test_D7_KYM_8_a_waiver_with_an_end_lets_it_pass_as_a_warning(clean: Server) -> None:
    import_advisories(clean, advisory("PYSEC-2024-31", "six", severity=V3_CRITICAL))
    (finding,) = found(refused_by_the_gate(again(clean, "known/waived", SIX)))
    assert waive(clean, "known/waived", finding["finding"]["id"]).status == 201
    (passed,) = found(let_pass(again(clean, "known/waived", SIX)))
    assert passed["severity"] == "warning" and passed["finding"]["waiver"], passed
    assert posture_of(clean, "known/waived")["posture"] == "amber"
    # Another fault of the same package is another finding.
    import_advisories(
        clean,
        advisory("PYSEC-2024-31", "six", severity=V3_CRITICAL),
        advisory("PYSEC-2024-32", "six", severity=V3_CRITICAL),
    )
    assert posture_of(clean, "known/waived")["posture"] == "red"
    refused = refused_by_the_gate(again(clean, "known/waived", SIX))
    assert [item["finding"]["rule"] for item in found(refused) if item["severity"] == "error"] == ["PYSEC-2024-32"]


# ---------------------------------------------------------------- of what is live


@pytest.mark.guarantee("KYM-8")
@pytest.mark.case("D7")
def test_D7_KYM_8_an_import_looks_at_what_is_live_again(clean: Server) -> None:
    assert posture_of(clean, "known/direct").get("posture", "green") == "green"
    name = "PYSEC-2024-40"
    told = import_advisories(clean, advisory(name, "six", severity=V3_CRITICAL))
    assert told["affectedFunctions"] >= 1, told
    (event,) = [one for one in recorded(clean, "function.vulnerable", function="known/direct") if name in str(one)]
    assert event["details"]["revision"] == "1" and event["namespace"] == "known", event
    assert not [one for one in recorded(clean, "function.vulnerable", function="known/transitive") if name in str(one)]
    assert [one for one in recorded(clean, "advisories.imported") if one["outcome"] == "done"]
    assert posture_of(clean, "known/direct")["posture"] == "red"
    (finding,) = found({"diagnostics": known(clean, "known/direct")["active"]}, name)
    assert finding["severity"] == "error" and finding["line"] == 2, finding
    code, out, _ = clean.cli("posture", "known")
    assert code == 1 and name in out and "known/direct" in out, out
    assert clean.call("known/direct", body={}).status == 200, "it serves on unless a policy says otherwise"
    import_advisories(clean, advisory(name, "six", severity=V3_CRITICAL), advisory("PYSEC-2024-41", "idna"))
    again_told = [one for one in recorded(clean, "function.vulnerable", function="known/direct") if name in str(one)]
    assert len(again_told) == 1, "what was known already is no new event"
    import_advisories(clean, advisory("PYSEC-2024-42", "no-such-package-here"))
    assert posture_of(clean, "known/direct").get("posture", "green") == "green"
    assert clean.cli("posture", "known")[0] == 0


@pytest.mark.guarantee("KYM-8")
@pytest.mark.case("D7")
def test_D7_KYM_8_a_policy_can_have_the_function_disabled(clean: Server) -> None:
    set_policy(clean, "closing", onAdvisory="disable")
    let_pass(again(clean, "closing/f", SIX))
    assert clean.call("closing/f", body={}).status == 200
    import_advisories(clean, advisory("PYSEC-2024-50", "six", severity=V3_LOW))
    assert clean.call("closing/f", body={}).status == 200, "what is not grave disables nothing"
    import_advisories(clean, advisory("PYSEC-2024-50", "six", severity=V3_CRITICAL))
    refused = clean.call("closing/f", body={})
    assert refused.status == 503 and problem(refused)["type"] == "/problems/function-disabled", refused.text
    told = known(clean, "closing/f")
    assert "advisory" in told["disabled"] and "PYSEC-2024-50" in str(told["active"]), told
    assert posture_of(clean, "closing/f")["disabled"]
    assert recorded(clean, "function.disabled", function="closing/f")
    assert clean.call("known/direct", body={}).status == 200, "of another namespace"
    path = f"{clean.function_path('closing/f')}/enable"
    deployer = account(clean, "closing", ("deployer", "closing"))
    assert deployer.api("POST", path).status == 403
    assert clean.call("closing/f", body={}).status == 503
    clean.stop()
    clean.start()
    assert clean.call("closing/f", body={}).status == 503, "also after a new start"
    assert clean.api("POST", path).status == 204
    assert clean.call("closing/f", body={}).status == 200
    assert recorded(clean, "function.enabled", function="closing/f")
    assert "disabled" not in known(clean, "closing/f")


@pytest.mark.guarantee("KYM-8")
@pytest.mark.case("D7")
def test_D7_KYM_8_what_is_waived_is_not_disabled(clean: Server) -> None:
    set_policy(clean, "closing", onAdvisory="disable")
    import_advisories(clean, advisory("PYSEC-2024-51", "six", severity=V3_CRITICAL))
    (finding,) = found(refused_by_the_gate(again(clean, "closing/waived", SIX)))
    assert waive(clean, "closing/waived", finding["finding"]["id"]).status == 201
    let_pass(again(clean, "closing/waived", SIX))
    import_advisories(clean, advisory("PYSEC-2024-51", "six", severity=V3_CRITICAL, days_old=0))
    assert clean.call("closing/waived", body={}).status == 200


@pytest.mark.guarantee("KYM-8")
@pytest.mark.parametrize("act", ["disable", "enable"])
def test_KYM_8_disabling_by_hand_takes_the_right_to_deploy(gate: Server, act: str) -> None:
    path = f"{gate.function_path('known/direct')}/{act}"
    assert account(gate, "known", ("viewer", "known")).api("POST", path).status == 403
    assert account(gate, "elsewhere").api("POST", path).status == 404
    assert account(gate, "known", ("deployer", "known")).api("POST", path).status == 204
    assert gate.call("known/direct", body={}).status == (503 if act == "disable" else 200)


@pytest.mark.guarantee("KYM-8")
def test_KYM_8_a_function_can_be_enabled_from_the_command_line(gate: Server) -> None:
    assert gate.cli("function", "enable", "known/direct")[0] == 0


# ---------------------------------------------------------------- how old they are


@pytest.mark.guarantee("KYM-8")
def test_KYM_8_after_a_week_the_posture_warns_that_advisories_are_old(clean: Server) -> None:
    assert import_advisories(clean, advisory("PYSEC-2024-60", "nothing", days_old=6.9))["isFresh"]
    assert clean.api("GET", "/v1/posture").json()["warnings"] == []
    assert not import_advisories(clean, advisory("PYSEC-2024-60", "nothing", days_old=7.1))["isFresh"]
    told = clean.api("GET", "/v1/posture").json()
    assert told["warnings"] and "casemate advisories import" in told["warnings"][0], told["warnings"]
    code, out, _ = clean.cli("advisories", "status")
    assert code == 0 and told["advisories"]["newest"] in out, out
    assert told["warnings"][0] in clean.cli("posture")[1]


@pytest.mark.guarantee("KYM-8")
@pytest.mark.parametrize("word", ["advisor", "vulnerable"])
def test_KYM_8_their_age_and_what_they_hit_are_metrics(gate: Server, word: str) -> None:
    answer = gate.api("GET", "/metrics")
    assert answer.status == 200 and word in answer.text


@pytest.mark.guarantee("KYM-8")
def test_KYM_8_only_an_administrator_replaces_the_advisories(clean: Server) -> None:
    before = stored_advisories(clean)
    data = osv_export(advisory("PYSEC-2024-70", "six"))
    for who in (account(clean, "known", ("admin", "known")), account(clean, "known", ("gate:waive", "known"))):
        assert who.api("PUT", "/v1/advisories", data).status == 403
        assert who.api("GET", "/v1/advisories").status == 200
    assert clean.api("PUT", "/v1/advisories", data, key=None).status == 401
    assert stored_advisories(clean) == before


# ---------------------------------------------------------------- archives

YAML = """id: PYSEC-2024-80
modified: 2024-10-10T00:00:00Z
published: 2024-01-01T00:00:00Z
aliases: [CVE-2024-8080]
details: a fault of six
affected:
- package: {ecosystem: PyPI, name: six, purl: pkg:pypi/six}
  ranges:
  - type: ECOSYSTEM
    events: [{introduced: '0'}]
severity:
- {type: CVSS_V3, score: 'CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H'}
"""


def tape(*entries: tuple[str, bytes, str], how: str = "gz") -> bytes:
    """A tar; of each entry the third is what a link leads to, a device's kind, or empty for a file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz" if how == "xz" else "w:gz") as packed:
        for name, data, other in entries:
            info = tarfile.TarInfo(name)
            info.size = 0 if other else len(data)
            if other == "device":
                info.type = tarfile.CHRTYPE
            elif other == "fifo":
                info.type = tarfile.FIFOTYPE
            elif other.startswith("hard:"):
                info.type, info.linkname = tarfile.LNKTYPE, other.removeprefix("hard:")
            elif other:
                info.type, info.linkname = tarfile.SYMTYPE, other
            packed.addfile(info, io.BytesIO(data))
    return out.getvalue()


RECORD = ("advisory-database-main/vulns/six/PYSEC-2024-80.yaml", YAML.encode(), "")


@pytest.mark.guarantee("KYM-8")
@pytest.mark.parametrize("how", ["gz", "xz", "zip"])
def test_KYM_8_a_git_export_of_the_yaml_form_is_taken(clean: Server, tmp_path: Path, how: str) -> None:
    data = archive({RECORD[0]: YAML}) if how == "zip" else tape(RECORD, how=how)
    file = tmp_path / "export"
    file.write_bytes(data)
    told = clean.cli_json("advisories", "import", str(file))
    assert told["records"] == 1 and told["newest"].startswith("2024-10-10") and not told["isFresh"], told
    assert clean.cli_json("advisories", "status")["records"] == 1
    assert posture_of(clean, "known/direct")["posture"] == "red"


def zip_with_a_link() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("a.json", json.dumps(advisory("PYSEC-2024-90", "six")))
        info = zipfile.ZipInfo("b.json")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        packed.writestr(info, "/etc/passwd")
    return out.getvalue()


def zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.json", json.dumps(advisory("PYSEC-2024-90", "six")))
        with packed.open("b.json", "w", force_zip64=True) as entry:
            for _ in range(2048):
                entry.write(b" " * (1 << 20))
    return out.getvalue()


def many_bombs() -> bytes:
    """Each entry small enough, all of them not."""
    block = "[" + " " * (32 << 20) + "]"
    return archive({"a.json": json.dumps(advisory("PYSEC-2024-90", "six")), **{f"b{n}.json": block for n in range(64)}})


def deep() -> bytes:
    return archive({"a.json": '{"id":' + "[" * 200_000})


def laughing() -> bytes:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    for before, here in zip("abcdefg", "bcdefgh"):
        lines.append(f"{here}: &{here} [{','.join([f'*{before}'] * 9)}]")
    return tape(("vulns/six/a.yaml", "\n".join([*lines, "id: *h"]).encode(), ""))


WHOLE = osv_export(*[advisory(f"PYSEC-2024-{number}", "six") for number in range(60)])
BAD: dict[str, Any] = {
    "empty": b"",
    "no archive": b"this is no archive at all " * 100,
    "one record that is not packed": json.dumps(advisory("PYSEC-2024-90", "six")).encode(),
    "half of a zip": WHOLE[: len(WHOLE) // 2],
    "a zip without its end": WHOLE[:-30],
    "half of a tar": lambda: tape(*[(f"vulns/six/{n}.yaml", YAML.encode() * 9, "") for n in range(90)])[:900],
    "no entries": archive({}),
    "nothing of Python": archive({"readme.md": "x"}),
    "records of others": archive({"a.json": json.dumps(advisory("X", "six")).replace("PyPI", "npm")}),
    "records that are none": archive({"a.json": "{}", "b.json": "[]", "c.json": "{", "d.json": "7"}),
    "a link in a zip": zip_with_a_link,
    "a link in a tar": lambda: tape(RECORD, ("vulns/six/b.yaml", b"", "/etc/passwd")),
    "a hard link": lambda: tape(RECORD, ("vulns/six/b.yaml", b"", "hard:/etc/passwd")),
    "a device": lambda: tape(RECORD, ("vulns/six/b.yaml", b"", "device")),
    "a fifo": lambda: tape(RECORD, ("vulns/six/b.yaml", b"", "fifo")),
    "a zip bomb": zip_bomb,
    "a bomb of many": many_bombs,
    "a gzip bomb": lambda: gzip.compress(b"\0" * (1 << 30), 1),
    "an xz bomb": lambda: lzma.compress(b"\0" * (1 << 30), preset=0),
    "deep JSON": deep,
    "YAML that multiplies": laughing,
    "YAML that makes objects": lambda: tape(("vulns/six/a.yaml", b"!!python/object/apply:os.system ['true']\n", "")),
}


@pytest.mark.guarantee("KYM-8")
@pytest.mark.parametrize("what", BAD)
def test_KYM_8_a_bad_archive_is_refused_and_what_was_there_stays(gate: Server, what: str) -> None:
    data: bytes = BAD[what]() if callable(BAD[what]) else BAD[what]
    before, memory = stored_advisories(gate), memory_in_kib(gate.pid)
    begin = time.monotonic()
    answer = gate.api("PUT", "/v1/advisories", data, timeout=120)
    seconds = time.monotonic() - begin
    assert answer.status == 400, answer.text
    assert problem(answer)["type"] == "/problems/invalid-request"
    assert stored_advisories(gate) == before
    assert seconds < 20, f"the refusal took {seconds:.0f} s"
    assert memory_in_kib(gate.pid) - memory < 64 << 10
    assert gate.is_running() and gate.call("known/direct", body={}).status == 200


@pytest.mark.guarantee("KYM-8")
def test_KYM_8_a_path_that_leads_out_of_the_archive_leads_nowhere(clean: Server) -> None:
    mark = f"escaped-{randomness.token_hex(6)}"
    clean.api("PUT", "/v1/advisories", tape(RECORD, (f"../../../../tmp/{mark}.yaml", YAML.encode(), "")))
    for folder in (Path("/tmp"), Path("/"), clean.folder, clean.data, clean.data / "server"):
        assert not list(folder.glob(f"*{mark}*")), folder


@pytest.mark.guarantee("KYM-8")
def test_KYM_8_what_an_advisory_says_is_shown_as_text(clean: Server) -> None:
    record = {**advisory("PYSEC-2024-91", "six"), "summary": "\x1b[2J\x1b]0;x\x07 line\nnext\r\n\u202eright to left"}
    import_advisories(clean, record)
    for command in (["findings", "known/direct"], ["posture", "known"]):
        out = clean.cli(*command)[1]
        assert "PYSEC-2024-91" in out
        assert not set(out) & set("\x1b\x07\r\u202e"), ascii(out)


@pytest.mark.guarantee("KYM-8")
def test_KYM_8_broken_records_are_counted_and_the_others_taken(clean: Server) -> None:
    broken = ["{", "[]", json.dumps({"id": "PYSEC-2024-95"}), json.dumps({**advisory("x", "six"), "affected": "all"})]
    files = {f"{number}.json": text for number, text in enumerate(broken)}
    files["good.json"] = json.dumps(advisory("PYSEC-2024-96", "six"))
    answer = clean.api("PUT", "/v1/advisories", archive(files))
    assert answer.status == 200 and (answer.json()["records"], answer.json()["skipped"]) == (1, 4), answer.text
    code, out, _ = clean.cli("advisories", "status")
    assert code == 0 and "1" in out


@pytest.mark.guarantee("KYM-8")
@pytest.mark.skipif("CASEMATE_ADVISORIES" not in os.environ, reason="CASEMATE_ADVISORIES names no archive of real ones")
def test_KYM_8_the_real_database_is_imported_within_ten_seconds_and_hits_an_old_package(clean: Server) -> None:
    data = Path(os.environ["CASEMATE_ADVISORIES"]).read_bytes()
    begin = time.monotonic()
    answer = clean.api("PUT", "/v1/advisories", data, timeout=120)
    seconds = time.monotonic() - begin
    assert answer.status == 200 and answer.json()["records"] > 2000, answer.text
    assert seconds < 10, f"it took {seconds:.1f} s"
    old = {"handler.py": importing("idna"), "requirements.txt": "idna==3.6\n"}
    (finding,) = found(refused_by_the_gate(again(clean, "known/old", old)))
    assert finding["finding"]["package"] == "pkg:pypi/idna@3.6" and "3.7" in finding["fix"], finding
