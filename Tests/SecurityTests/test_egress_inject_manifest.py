"""What a manifest may say of secrets that are put in on the way."""

from __future__ import annotations

from typing import Any

import pytest
from casemate_fixture import Server, archive, handler, manifest
from inject_hosts import (  # noqa: F401  fixtures are taken by their names
    doubtful,
    hosts,
    walled_server,
)
from inject_probe import API, OTHER, PUBLIC, VARIABLES, bound

NOTHING = handler("def handle(data):\n    return 1\n")
LISTED = f"{API}:443"


def binding(host: str = API, header: str = "Authorization", **more: Any) -> dict[str, Any]:
    return {"secrets": [bound("API_KEY", host, header, **more)], "egress": [LISTED]}


def both(first: dict[str, str], second: dict[str, str], *more: str) -> dict[str, Any]:
    return {"secrets": [first, second], "egress": [LISTED, *more]}


RIGHT: dict[str, dict[str, Any]] = {
    "no format": binding(),
    "a format with more around": binding(format='Token token="{}", v=1'),
    "a port": binding(LISTED),
    "another port": {"secrets": [bound("API_KEY", f"{API}:8443")], "egress": [f"{API}:8443"]},
    "capitals in the host": binding("API.Example.com"),
    "a header of its own": binding(header="X-Api-Key"),
    "two headers of a host": both(bound("A_KEY", API), bound("B_KEY", API, "X-Api-Key")),
    "one header of two hosts": both(bound("A_KEY", API), bound("B_KEY", OTHER), f"{OTHER}:443"),
    "beside a wild name": {**binding(), "egress": [LISTED, "*.example.com:443"]},
    "other variables": {**binding(), "env": {"REGION": "north"}},
    # What is refused below, without such a secret.
    "the variables alone": {"env": dict.fromkeys(VARIABLES, "/tmp/own.pem")},
}

FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no egress at all": ({"secrets": [bound("API_KEY", API)]}, LISTED),
    "another host in egress": ({**binding(), "egress": [f"{OTHER}:443"]}, LISTED),
    "another port in egress": ({**binding(), "egress": [f"{API}:8443"]}, LISTED),
    "another port than in egress": (binding(f"{API}:8443"), f"{API}:8443"),
    "port 80, in egress as 443": (binding(f"{API}:80"), f"{API}:80"),
    "only a wild name in egress": ({**binding(), "egress": ["*.example.com:443"]}, LISTED),
    "one of two hosts in egress": (both(bound("A_KEY", API), bound("B_KEY", OTHER)), f"{OTHER}:443"),
    "a format without a place": (binding(format="Bearer"), "format"),
    "a format with two places": (binding(format="{} {}"), "format"),
    "an empty format": (binding(format=""), "format"),
    "a format with a line break": (binding(format="Bearer {}\r\nX-A: b"), ""),
    "a format with a NUL": (binding(format="Bearer {}\0"), ""),
    "no header": ({"secrets": [{"name": "API_KEY", "deliver": "inject", "host": API}], "egress": [LISTED]}, "header"),
    "no host": ({"secrets": [{"name": "API_KEY", "deliver": "inject", "header": "X-A"}], "egress": [LISTED]}, "host"),
    "no way of delivery": (
        {"secrets": [{"name": "API_KEY", "host": API, "header": "X-A"}], "egress": [LISTED]},
        "deliver",
    ),
    "another way of delivery": (
        {"secrets": [{"name": "API_KEY", "deliver": "injekt", "host": API, "header": "X-A"}], "egress": [LISTED]},
        "inject",
    ),
    "two for one header": (both(bound("A_KEY", API), bound("B_KEY", API)), "header"),
    "two for one header, with the port": (both(bound("A_KEY", API), bound("B_KEY", LISTED)), "header"),
    "two for one header, in capitals": (both(bound("A_KEY", API), bound("B_KEY", API, "AUTHORIZATION")), "header"),
    **{
        f"the header {name}": (binding(header=name), "header")
        for name in (
            *("Host", "host", "Content-Length", "CONTENT-LENGTH", "Transfer-Encoding", "Connection"),
            *("Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade", "Expect"),
        )
    },
    **{
        f"the header {name!r}": (binding(header=name), "header")
        for name in ("", "X A", "X:A", "X-A:", "X\r\nY", "X\0", "Schlüssel", ":authority", "X-" + "a" * 1000)
    },
    **{
        f"the host {host!r}": (binding(host), "host")
        for host in (
            *(
                "",
                "*",
                "*.example.com",
                f"https://{API}",
                f"{API}/path",
                f"user@{API}",
                f"{API}:",
                f"{API}:0",
                f"{API}:65536",
            ),
            *(
                f"{API}:https",
                PUBLIC,
                f"{PUBLIC}:443",
                "[2600:1f18::34]",
                f"{API} ",
                f"{API},{OTHER}",
                f"{API}:443:443",
            ),
        )
    },
    **{f"the variable {name}": ({**binding(), "env": {name: "/tmp/own.pem"}}, name) for name in VARIABLES},
}


@pytest.mark.parametrize("what", RIGHT)
def test_a_manifest_that_binds_a_secret_as_it_should_is_taken(walled: Server, what: str) -> None:
    outcome = walled.try_deploy("inject", "right", NOTHING, RIGHT[what])
    assert outcome.code == 0, outcome.said


@pytest.mark.guarantee("COG-16")
@pytest.mark.parametrize("what", FAULTS)
def test_a_manifest_that_binds_a_secret_wrongly_is_refused_with_its_line_and_the_remedy(
    walled: Server, what: str
) -> None:
    keys, word = FAULTS[what]
    outcome = walled.try_deploy("inject", "wrong", NOTHING, keys)
    assert outcome.code != 0, f"{what} was taken"
    assert "casemate.yaml" in outcome.said and word in outcome.said, outcome.said
    assert walled.api("GET", walled.function_path("inject/wrong")).status == 404


@pytest.mark.parametrize(
    "what", ["only a wild name in egress", "the header Host", "two for one header", "the variable SSL_CERT_FILE"]
)
def test_the_server_refuses_it_itself_whoever_sends_it(walled: Server, what: str) -> None:
    good = walled.deploy_archive("inject", "direct", archive(NOTHING), manifest("inject", "direct", binding()))
    assert good.status == 200 and good.json()["functions"][0]["status"] in ("deployed", "unchanged"), good.text
    answer = walled.deploy_archive("inject", "sent", archive(NOTHING), manifest("inject", "sent", FAULTS[what][0]))
    if answer.status == 200:
        assert answer.json()["functions"][0]["status"] == "failed", answer.text
    else:
        assert 400 <= answer.status < 500, answer.text
    assert FAULTS[what][1] in answer.text
    assert walled.api("GET", walled.function_path("inject/sent")).status == 404
