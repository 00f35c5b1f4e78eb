"""What an uploaded archive may hold, and how it becomes a folder.

Everything that the directory shows is checked before the first byte is written; what only inflating shows ends with
nothing at the target. A name that two systems could read differently is refused, not repaired.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import unicodedata
from pathlib import Path
from typing import Final, NamedTuple

from casemate_runtime.ahead import ahead
from casemate_runtime.archive import FLAG_UTF8, MOST_ENTRIES, Entry, inflate, read_directory, refused
from casemate_runtime.faults import Fault

_LONGEST_COMPONENT: Final = 255
_LONGEST_PATH: Final = 1024
_RATIO_FROM: Final = 10 * 1024 * 1024
_LARGEST_RATIO: Final = 200
_AHEAD_FROM: Final = 8 * 1024 * 1024
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_CONTROL: Final = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")  # Unicode's Cc, Zl and Zp

_SECRET_FOLDERS: Final = frozenset({".git", ".aws", ".ssh"})
_SECRET_FILES: Final = frozenset(
    {".env", ".npmrc", ".netrc", ".pypirc", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"},
)


class Unpacked(NamedTuple):
    files: int
    size: int


class _Planned(NamedTuple):
    path: str
    is_folder: bool
    entry: Entry


def unpack(descriptor: int, target: Path, limit: int) -> Unpacked:
    """Fills `target`, which must not exist. `limit` is in bytes, unpacked."""
    planned = _plan(read_directory(descriptor))
    _check_sizes(planned, limit)
    _check_places(planned)
    _check_certificates(descriptor, planned)
    staging = target.with_name(f".{target.name}.unpacking")
    try:
        staging.mkdir(parents=True)
        unpacked = _extract(descriptor, planned, staging)
        staging.rename(target)
        return unpacked
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise Fault("too-large", "the unpacked source does not fit into the space of a build") from None
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _plan(entries: list[Entry]) -> list[_Planned]:
    planned = []
    for entry in entries:
        path, is_folder = _checked_path(entry)
        _check_kind(entry, is_folder)
        components = path.split("/") if path else []
        _check_secrets(entry, components, is_folder)
        # Byte code from elsewhere could say something else than the source beside it. We make our own.
        if path and "__pycache__" not in components:
            planned.append(_Planned(path, is_folder, entry))
    return planned


def _checked_path(entry: Entry) -> tuple[str, bool]:
    """The path as it is created, without `.` components (some clients begin every name with `./`), and if it is a folder."""
    name = entry.name
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise refused("its name is not UTF-8", name) from None
    if not text.isascii() and not entry.flags & FLAG_UTF8:
        raise refused("its name is not marked as UTF-8", name)
    if _CONTROL.search(text):
        raise refused("its name holds a control character", name)
    if "\\" in text:
        raise refused("its name holds a backslash", name)
    if text.startswith("/") or _DRIVE.match(text):
        raise refused("its name is an absolute path", name)
    if not unicodedata.is_normalized("NFC", text):
        raise refused("its name is not in Unicode's form NFC", name)
    is_folder = text.endswith("/")
    components = (text[:-1] if is_folder else text).split("/")
    if ".." in components:
        raise refused("its name leads out of the archive", name)
    if "" in components:
        raise refused("its name has an empty component", name)
    if "." in components:
        components = [component for component in components if component != "."]
    if not components and not is_folder:
        raise refused("its name is empty", name)
    path = "/".join(components)
    encoded = path.encode()
    if len(encoded) > _LONGEST_PATH or max(map(len, encoded.split(b"/"))) > _LONGEST_COMPONENT:
        raise refused("its name is too long", name)
    return path, is_folder


def _check_kind(entry: Entry, is_folder: bool) -> None:
    kind = stat.S_IFMT(entry.mode)  # 0 where the archive was made without Unix modes
    if kind not in (0, stat.S_IFDIR if is_folder else stat.S_IFREG):
        what = "a symbolic link" if kind == stat.S_IFLNK else "neither a regular file nor a folder"
        raise refused(f"it is {what}", entry.name)
    if is_folder and (entry.size or entry.packed_size > 2):  # 2: how deflate packs nothing
        raise refused("it is a folder with content", entry.name)


def _check_secrets(entry: Entry, components: list[str], is_folder: bool) -> None:
    lowered = "/".join(components).lower().split("/") if components else []
    file = "" if is_folder or not lowered else lowered[-1]
    if not _SECRET_FOLDERS.isdisjoint(lowered) or file in _SECRET_FILES or file.endswith(".key"):
        raise refused("this may hold credentials: exclude it from the archive", entry.name)


def _check_sizes(planned: list[_Planned], limit: int) -> None:
    size = sum(item.entry.size for item in planned)
    packed = sum(item.entry.packed_size for item in planned)
    if size > limit:
        raise Fault("too-large", f"the unpacked source has {size} bytes; {limit} are allowed")
    if size > _RATIO_FROM and size > _LARGEST_RATIO * packed:
        largest = max(planned, key=lambda item: item.entry.size)
        raise refused(f"the archive unpacks to more than {_LARGEST_RATIO} times its size", largest.entry.name)


def _check_places(planned: list[_Planned]) -> None:
    """No name twice, no file where another entry needs a folder, and not more folders than entries are allowed."""
    kinds: dict[str, bool] = {}
    for item in planned:
        if item.path in kinds:
            raise refused("the archive has this name twice", item.entry.name)
        kinds[item.path] = item.is_folder
    folders: set[str] = set()  # with all above them
    for item in planned:
        parent = item.path.rpartition("/")[0]
        while parent and parent not in folders:
            if kinds.get(parent) is False:
                raise refused("the archive has a file where this needs a folder", item.entry.name)
            folders.add(parent)
            if len(folders) > MOST_ENTRIES:
                raise refused(f"the archive needs more than {MOST_ENTRIES} folders", item.entry.name)
            parent = parent.rpartition("/")[0]


def _check_certificates(descriptor: int, planned: list[_Planned]) -> None:
    """A `.pem` may be a list of public certificates, as in the vendored package `certifi`; any other is refused."""
    for item in planned:
        if not item.is_folder and item.path.lower().endswith(".pem"):
            content = b"".join(inflate(descriptor, item.entry)) if item.entry.size < _RATIO_FROM else b""
            if b"-----BEGIN CERTIFICATE-----" not in content or b"PRIVATE KEY" in content:
                raise refused("this may hold credentials: exclude it from the archive", item.entry.name)


def _extract(descriptor: int, planned: list[_Planned], target: Path) -> Unpacked:
    files = total = 0
    made = {target}
    for item in planned:
        place = target / item.path
        folder = place if item.is_folder else place.parent
        if folder not in made:
            folder.mkdir(parents=True, exist_ok=True)
            made.add(folder)
        if item.is_folder:
            continue
        mode = 0o755 if item.entry.mode & 0o111 else 0o644
        # The folder is ours and holds no links, so a plain path is enough; O_EXCL and O_NOFOLLOW cost nothing.
        file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with open(file, "wb", buffering=0) as out:
            pieces = inflate(descriptor, item.entry)
            for data in ahead(pieces) if item.entry.size >= _AHEAD_FROM else pieces:
                rest = memoryview(data)
                while rest:
                    rest = rest[out.write(rest) :]
        files += 1
        total += item.entry.size
    return Unpacked(files, total)
