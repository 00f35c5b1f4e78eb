"""Service accounts for tests: who holds what, and shows which key."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from casemate_fixture import Answer, Server

_numbers = itertools.count(1)


@dataclass
class Account:
    """A service account with an API key. What it does, it does with that."""

    server: Server
    namespace: str
    name: str
    client_id: str
    client_secret: str
    key: str

    @property
    def subject(self) -> str:
        return f"service-account:{self.namespace}/{self.name}"

    @property
    def path(self) -> str:
        return f"/v1/namespaces/{self.namespace}/service-accounts/{self.name}"

    def api(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        return self.server.api(method, path, body, key=self.key, **more)

    def call(self, function: str, **more: Any) -> Answer:
        return self.server.call(function, key=self.key, **more)

    def cli(self, *arguments: str, **more: Any) -> tuple[int, str, str]:
        return self.server.cli(
            *arguments, environment={"CASEMATE_URL": self.server.api_url, "CASEMATE_KEY": self.key}, **more
        )

    def grant(self, permission: str, on: str | None) -> str:
        """`on` is NAMESPACE, NAMESPACE/FUNCTION, or None for the whole server. Returns the path that takes it back."""
        body = {"subject": self.subject, "permission": permission}
        path = "/v1/grants"
        if on is not None:
            namespace, _, function = on.partition("/")
            path = f"/v1/namespaces/{namespace}/grants"
            if function:
                body["function"] = function
        made = self.server.api("POST", path, body)
        assert made.status == 201, made.text
        return f"{path}/{made.json()['id']}"


def account(server: Server, namespace: str, *grants: tuple[str, str | None], name: str | None = None) -> Account:
    """A new account in `namespace` that holds `grants`, each a permission and what it is on."""
    server.namespace(namespace)
    name = name or f"account-{next(_numbers)}"
    path = f"/v1/namespaces/{namespace}/service-accounts"
    made = server.api("POST", path, {"name": name})
    assert made.status == 201, made.text
    key = server.api("POST", f"{path}/{name}/keys", {})
    assert key.status == 201, key.text
    new = Account(server, namespace, name, made.json()["clientId"], made.json()["clientSecret"], key.json()["key"])
    for permission, on in grants:
        new.grant(permission, on)
    return new
