"""A commit with all that it needs, out of a repository."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

from casemate_runtime.faults import Fault

from casemate_fetch.address import Address
from casemate_fetch.conversation import Conversation
from casemate_fetch.faults import ServerError, failed, shown
from casemate_fetch.hostkeys import HostKey
from casemate_fetch.https import Https, trusting
from casemate_fetch.meter import Meter
from casemate_fetch.objects import peeled, read_commit
from casemate_fetch.pack import COMMIT, Pack
from casemate_fetch.recent import Recent
from casemate_fetch.refs import HEADS, TAGS, Wanted
from casemate_fetch.remote import Remote
from casemate_fetch.ssh import Ssh, private_key

SCRATCH: Final = "/tmp"  # nosec B108  # the sandbox's own


@dataclass(frozen=True, slots=True)
class Source:
    pack: Pack
    commit: bytes
    reference: bytes | None
    """The ref that it was taken from; none for a commit that was asked for by its id."""


class Sources:
    """Fetches from one place. It has what opens it: the authority, or the key and the host's keys."""

    def __init__(
        self,
        place: Address,
        authority: bytes,
        host_keys: Sequence[HostKey],
        secret: bytes | None,
        meter: Meter,
        repositories: Sequence[str] | None = None,
    ) -> None:
        """`repositories`: the only ones that may be asked; `None` for all of the host."""
        is_ssh = place.scheme == "ssh"
        self._trusted = None if is_ssh else trusting(authority)
        self._host_keys = host_keys
        self._key: Any = private_key(secret) if is_ssh else None
        self._meter = meter
        self._repositories = repositories
        self._recent = Recent()

    def check(self, address: Address, what: str) -> None:
        """What opens the place opens more of it than a policy may list. Raises a `Fault`."""
        if self._repositories is not None and not address.is_among(self._repositories):
            raise failed(
                f"{what} is at {address}, which the namespace's policy does not list; copy it into the repository, or have whoever "
                "may loosen the gate list it: gate.repositories"
            )

    def fetch(self, address: Address, wanted: Wanted, has_history: bool = False) -> Source:
        depth = None if has_history else 1
        if wanted.commit is None:
            return self._by_name(address, wanted, depth)
        try:
            return self._by_id(address, wanted.commit, depth)
        except ServerError:
            # Many hosts give only what a ref leads to, and some only what a ref names.
            return self._among_all(address, wanted.commit)

    def _by_name(self, address: Address, wanted: Wanted, depth: int | None) -> Source:
        remote = self._remote(address)
        try:
            conversation = Conversation(remote, wanted.names)
            name, oid = wanted.choose(conversation.refs)
            pack = self._pack(conversation, [oid], depth)
        except ServerError as error:
            raise self._refusal(address, error, remote) from None
        finally:
            remote.close()
        return Source(pack, peeled(pack, oid), conversation.symbolic.get(name) if name == b"HEAD" else name)

    def _by_id(self, address: Address, commit: bytes, depth: int | None) -> Source:
        remote = self._remote(address)
        try:
            conversation = Conversation(remote, ())
            if len(commit) != conversation.object_format.hex_length:
                raise _absent(commit)
            pack = self._pack(conversation, [commit], depth)
        finally:
            remote.close()
        return self._checked(pack, commit)

    def _among_all(self, address: Address, commit: bytes) -> Source:
        remote = self._remote(address)
        try:
            conversation = Conversation(remote, (HEADS, TAGS))
            if not conversation.refs:
                raise _absent(commit)
            tips = sorted(set(conversation.refs.values()))
            pack = self._pack(conversation, tips, None)
        except ServerError as error:
            raise self._refusal(address, error, remote) from None
        finally:
            remote.close()
        # A server may send more than it was asked for, and what no ref leads to is nobody's.
        if commit not in pack or not _leads_to(pack, tips, commit):
            raise _absent(commit)
        return self._checked(pack, commit)

    def _checked(self, pack: Pack, commit: bytes) -> Source:
        if commit not in pack:
            raise failed(
                f"the server sent something else than the commit {commit.decode()}; fetch again, and ask whoever runs the host"
            )
        if pack.kind(commit) != COMMIT:
            raise failed(
                f"{commit.decode()} is the id of something else than a commit; write that of the commit, or the tag's name"
            )
        return Source(pack, commit, None)

    def _pack(self, conversation: Conversation, wants: Sequence[bytes], depth: int | None) -> Pack:
        file: IO[bytes] = tempfile.TemporaryFile(dir=SCRATCH)  # its map lives as long as the pack
        conversation.fetch(wants, depth, file)
        return Pack(file, conversation.object_format, self._meter, self._recent)

    def _remote(self, address: Address) -> Remote:
        if self._trusted is None:
            return Ssh(address, self._host_keys, self._key, self._meter)
        return Https(address, self._trusted, self._meter, lambda found: self.check(found, "what the host redirects to"))

    def _refusal(self, address: Address, error: ServerError, remote: Remote) -> Fault:
        said = shown(error.text) or remote.complaint
        why = f"says: {said}" if said else "ends the conversation"
        return failed(f"{address.host} {why}; check the URL, and that the credentials may read the repository")


def _absent(commit: bytes) -> Fault:
    return failed(
        f"no branch and no tag of the repository leads to the commit {commit.decode()}; check its id, and that it was pushed"
    )


def _leads_to(pack: Pack, tips: Sequence[bytes], commit: bytes) -> bool:
    seen = set()
    waiting = []
    for tip in tips:
        try:
            waiting.append(peeled(pack, tip))
        except Fault:
            continue  # a tag of a tree, or of a file
    while waiting:
        oid = waiting.pop()
        if oid == commit:
            return True
        if oid not in seen and oid in pack:
            seen.add(oid)
            waiting += read_commit(pack, oid).parents
    return False
