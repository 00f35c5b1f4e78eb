"""Files that hold credentials by their nature (SCW-11): `.env`, keys, version control, the settings of cloud tools."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from casemate_gate.checks.check import incomplete
from casemate_gate.findings import Finding, Severity
from casemate_gate.nested import Budget, Member, is_packed, members
from casemate_gate.subject import Subject, Unreadable

_FOLDERS: Final = {
    ".git": "version control, with all that was ever in it",
    ".hg": "version control, with all that was ever in it",
    ".svn": "version control",
    ".aws": "credentials of AWS",
    ".azure": "credentials of Azure",
    ".gcloud": "credentials of Google Cloud",
    ".ssh": "keys of SSH",
    ".gnupg": "keys of GnuPG",
    ".kube": "credentials of Kubernetes",
    ".docker": "credentials of registries",
    ".terraform": "state of Terraform",
}
_FILES: Final = {
    ".npmrc": "credentials of npm",
    ".netrc": "credentials of hosts",
    "_netrc": "credentials of hosts",
    ".pypirc": "credentials of a package index",
    ".pgpass": "passwords of PostgreSQL",
    ".my.cnf": "passwords of MySQL",
    ".htpasswd": "passwords of a web server",
    ".git-credentials": "credentials of version control",
    ".dockercfg": "credentials of registries",
    ".s3cfg": "credentials of a store",
    ".boto": "credentials of a cloud",
    ".vault-token": "a token of Vault",
    "credentials": "credentials",
    "credentials.json": "credentials",
    "credentials.csv": "credentials",
    "service-account.json": "credentials of a service account",
    "service_account.json": "credentials of a service account",
    "serviceaccountkey.json": "credentials of a service account",
    "application_default_credentials.json": "credentials of Google Cloud",
    "terraform.tfstate": "state of Terraform, with its secrets",
    "terraform.tfstate.backup": "state of Terraform, with its secrets",
    "local.settings.json": "settings of Azure Functions, with their secrets",
    "kubeconfig": "credentials of Kubernetes",
    "id_rsa": "a private key",
    "id_dsa": "a private key",
    "id_ecdsa": "a private key",
    "id_ed25519": "a private key",
}
_SUFFIXES: Final = {
    ".key": "a key",
    ".ppk": "a private key",
    ".p12": "a key store",
    ".pfx": "a key store",
    ".jks": "a key store",
    ".keystore": "a key store",
    ".kdbx": "a password store",
    ".ovpn": "credentials of a VPN",
    ".agekey": "a private key",
}
# They hold names without values, as a hint for people.
_EXAMPLES: Final = (".example", ".sample", ".template", ".dist", ".defaults")


class Files:
    name = "files"

    def examine(self, subject: Subject) -> Iterable[Finding]:
        budget = Budget()
        said: set[str] = set()
        holding_code: set[str] = set()
        for file in subject.files:
            yield from self._judge(file.name, said)
            is_code = file.name.endswith((".pyc", ".pyo")) and "__pycache__/" not in file.name
            if not is_code and not _may_be_packed(file.path, file.name):
                continue
            try:
                content = file.read()
            except Unreadable as problem:
                yield incomplete(self.name, problem)
                continue
            if is_code:
                why = "this is byte code without its source: nobody sees what it does"
                yield _unseen_code(file.name, Severity.HIGH, why, content)
            for member in members(file.name, content, budget):
                # `secrets` says what can't be read, once.
                if isinstance(member, Member):
                    yield from self._judge(member.name, said)
                    if member.name.endswith((".py", ".pyc")) and file.name not in holding_code:
                        holding_code.add(file.name)
                        why = "this archive holds Python, which the checks of code do not look at"
                        yield _unseen_code(file.name, Severity.MEDIUM, why, content)

    def _judge(self, name: str, said: set[str]) -> Iterable[Finding]:
        why, place = kind(name)
        if why and place not in said:
            said.add(place)
            yield Finding(
                check=self.name,
                rule="credentials-file",
                severity=Severity.HIGH,
                file=place,
                line=None,
                what=f"this holds {why}: whoever has the bundle has them",
                fix="leave it out of the source (a line in .casemateignore does), and revoke what was in it if it has left your machine",
                subject=place,
                guarantee="SCW-11",
            )


def _unseen_code(name: str, severity: Severity, what: str, content: bytes) -> Finding:
    """A waiver is for this content: nobody sees what another one does."""
    return Finding(
        check=Files.name,
        rule="unseen-code",
        severity=severity,
        file=name,
        line=None,
        what=what,
        fix="put the source itself into the bundle",
        subject=f"{name} {hashlib.sha256(content).hexdigest()}",
        guarantee="AZR-15",
    )


def kind(name: str) -> tuple[str, str]:
    """What a file holds by its name, and what to name: of a folder of credentials the folder, once. Empty: nothing."""
    inner_at = name.rfind("!") + 1
    parts = name[inner_at:].lower().split("/")
    at = inner_at
    for part in parts[:-1]:
        at += len(part)
        if part in _FOLDERS:
            return _FOLDERS[part], name[:at]
        at += 1
    base = parts[-1]
    if base == ".env" or (base.startswith(".env.") and not base.endswith(_EXAMPLES)) or base == ".envrc":
        return "variables, which often are secrets", name
    if base in _FOLDERS:  # `.git` of a worktree is a file
        return _FOLDERS[base], name
    if base in _FILES:
        return _FILES[base], name
    for suffix, why in _SUFFIXES.items():
        if base.endswith(suffix):
            return why, name
    return "", name


def _may_be_packed(path: str, name: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return is_packed(name, stream.read(8))
    except OSError:
        return False
