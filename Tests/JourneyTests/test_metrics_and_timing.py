"""What the server tells of its own work: metrics for an operator, phases for whoever calls."""

from __future__ import annotations

import re
import time

import pytest
from casemate_fixture import Server, handler

PHASES = {"auth", "body", "queue", "slot", "mount", "secrets", "import", "handover", "handler", "redact"}


def phases(text: str) -> dict[str, float]:
    found = {}
    for part in text.split(", "):
        match = re.fullmatch(r"([a-z]+);dur=(\d+\.\d{3})", part)
        assert match, part
        found[match[1]] = float(match[2])
    return found


@pytest.fixture(scope="module")
def timed(running: Server) -> Server:
    running.namespace("timed")
    running.deploy("timed", "echo", handler("def handle(data):\n    return data\n"), {"scale": {"max": 1}})
    return running


def test_server_timing_comes_only_when_asked_for(timed: Server) -> None:
    assert "server-timing" not in timed.call("timed/echo", body={}).headers
    answer = timed.call("timed/echo", body={}, headers={"Casemate-Timing": "1"})
    assert set(phases(answer.headers["server-timing"])) == {"auth", "body", "queue", "handler", "redact"}


def test_a_cold_call_tells_the_phases_of_its_start_and_they_add_up(timed: Server) -> None:
    source = handler("import time\ntime.sleep(0.1)\ndef handle(data):\n    time.sleep(0.05)\n    return 1\n")
    timed.deploy("timed", "cold", source, {"scale": {"max": 1, "idle": "1s"}})
    timed.secret("timed/cold", "IGNORED", "ignored-value")
    begin = time.perf_counter()
    answer = timed.call("timed/cold", body={}, headers={"Casemate-Timing": "1"})
    took = (time.perf_counter() - begin) * 1000
    told = phases(answer.headers["server-timing"])
    assert set(told) == PHASES, told
    assert told["import"] >= 95 and told["handler"] >= 45
    assert sum(told.values()) <= took + 1
    assert sum(told.values()) >= 0.9 * took - 3, f"{told} of {took} ms"


def test_a_function_sees_nothing_of_the_wish_for_times(timed: Server) -> None:
    source = handler("def handle(event, context):\n    return sorted(event['headers'])\n")
    timed.deploy("timed", "headers", source)
    names = timed.call("timed/headers", body={}, headers={"Casemate-Timing": "1"}).json()
    assert not any("casemate" in name.lower() for name in names)


def test_metrics_are_well_formed_and_count_calls_refusals_and_limits(timed: Server) -> None:
    def page() -> dict[str, float]:
        answer = timed.api("GET", "/metrics")
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        found: dict[str, float] = {}
        types: dict[str, str] = {}
        for line in answer.text.splitlines():
            if line.startswith("# TYPE "):
                types[line.split()[2]] = line.split()[3]
            elif not line.startswith("#"):
                match = re.fullmatch(r'([a-z_]+(?:\{[a-z]+="[^"]*"(?:,le="[^"]*")?\})?) (\S+)', line)
                assert match, line
                name = re.sub(r"(_bucket|_sum|_count)?(\{.*)?$", "", match[1])
                assert name in types or match[1].split("{")[0] in types, line
                found[match[1]] = float(match[2])
        return found

    before = page()
    for _ in range(3):
        assert timed.call("timed/echo", body={}).status == 200
    timed.call("timed/echo", key=None, body={})
    timed.deploy(
        "timed",
        "slow",
        handler("import time\ndef handle(data):\n    time.sleep(9)\n"),
        {"limits": {"timeout": "200ms"}},
    )
    assert timed.call("timed/slow", body={}).status == 504
    assert timed.call("timed/echo", body=b"x" * (7 << 20)).status == 413
    after = page()

    def grown(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert grown('casemate_calls_total{outcome="answered"}') == 3
    assert grown('casemate_calls_total{outcome="function-timeout"}') == 1
    assert grown('casemate_refusals_total{problem="unauthenticated"}') == 1
    assert grown('casemate_limit_breaches_total{limit="time"}') == 1
    assert grown('casemate_limit_breaches_total{limit="request"}') == 1
    assert grown("casemate_call_duration_seconds_count") == 4
    assert grown('casemate_call_duration_seconds_bucket{le="+Inf"}') == 4
    assert after["casemate_warden_connected"] == 1 and after["process_resident_memory_bytes"] > 1 << 20


def test_no_metric_has_a_name_a_secret_or_a_text_of_a_user(timed: Server) -> None:
    value = "metric-secret-8f2c6a"
    timed.secret("timed/unmistakable-name", "UNMISTAKABLE_KEY", value)
    source = handler(
        "def handle(data, secrets):\n    raise RuntimeError('unmistakable text ' + secrets['UNMISTAKABLE_KEY'])\n"
    )
    timed.deploy("timed", "unmistakable-name", source, {"secrets": ["UNMISTAKABLE_KEY"]})
    assert timed.call("timed/unmistakable-name", body={}).status == 500
    text = timed.api("GET", "/metrics").text
    for word in (value, "unmistakable", "UNMISTAKABLE", '"timed"', "timed/", "handler.py"):
        assert word not in text, word


def test_metrics_need_their_right(timed: Server) -> None:
    assert timed.api("GET", "/metrics", key=None).status == 401
    token = timed.token("timed/echo")["token"]
    assert timed.api("GET", "/metrics", key=token).status == 401


@pytest.mark.parametrize(
    ("limit", "source", "keys"),
    [
        ("cpu", "def handle(data):\n    while True:\n        pass\n", {"limits": {"timeout": "2s", "cpu": 0.1}}),
        ("time", "import time\ndef handle(data):\n    time.sleep(60)\n", {"limits": {"timeout": "300ms"}}),
        (
            "tmp",
            "def handle(data):\n    with open('/tmp/x', 'wb') as f:\n        for _ in range(99):\n            f.write(b'x' * (1 << 20))\n",
            {"limits": {"tmp": "8MiB"}},
        ),
        ("open-files", "KEPT = []\ndef handle(data):\n    while True:\n        KEPT.append(open('/dev/null'))\n", {}),
        (
            "pids",
            "import threading, time\ndef handle(data):\n    for _ in range(999):\n        threading.Thread(target=time.sleep, args=(3,), daemon=True).start()\n",
            {"limits": {"pids": 16}},
        ),
        (
            "out-of-memory",
            "def handle(data):\n    return len(bytearray(b'x') * (900 << 20))\n",
            {"limits": {"memory": "64MiB"}},
        ),
    ],
)
def test_each_limit_has_its_own_reason_in_the_answer_the_log_and_the_metrics(
    timed: Server, limit: str, source: str, keys: dict[str, object]
) -> None:
    label = "memory" if limit == "out-of-memory" else limit

    def count() -> float:
        found = re.search(
            rf'^casemate_limit_breaches_total{{limit="{label}"}} (\d+)', timed.api("GET", "/metrics").text, re.M
        )
        return float(found[1]) if found else 0

    before = count()
    name = f"limit-{limit}"
    timed.deploy("timed", name, handler(source), keys)
    answer = timed.call(f"timed/{name}", body={})
    assert answer.status in (500, 502, 504), answer.text
    assert answer.json().get("reason") == {"time": "timeout"}.get(limit, limit), answer.text
    assert count() == before + 1
    assert any(line["stream"] in ("casemate", "stderr") for line in timed.logs(f"timed/{name}", answer.call_id))
