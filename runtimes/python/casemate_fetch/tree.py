"""Which files a folder of a commit has, before any of them is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from casemate_fetch.faults import damaged, failed, refused, shown, too_large
from casemate_fetch.names import HIDDEN_FOLDERS, SECRET_FOLDERS, checked
from casemate_fetch.objects import FILES, FOLDER, LINK, SUBMODULE, Entry, read_tree
from casemate_fetch.pack import BLOB, LARGEST, Pack

_MOST_FILES: Final = 20_000
_MOST_FOLDERS: Final = 20_000
_MOST_NAMED: Final = 10


@dataclass(frozen=True, slots=True)
class Planned:
    path: str
    """In the archive."""
    pack: Pack
    oid: bytes
    is_executable: bool


@dataclass
class Plan:
    files: list[Planned] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """What is not taken, and somebody may miss."""
    size: int = 0
    """Bytes of all files."""
    _folders: int = 0

    def add(self, pack: Pack, tree: bytes, prefix: str, maximum: int) -> list[tuple[str, bytes]]:
        """All below `tree`, as below `prefix`. Answers the submodules: path and commit. `maximum`: bytes of all files."""
        submodules = []
        waiting = [(prefix, tree)]
        while waiting:
            folder, oid = waiting.pop()
            self._folders += 1
            if self._folders > _MOST_FOLDERS:
                raise too_large(
                    f"the source has more than {_MOST_FOLDERS} folders; name the one that the function is in"
                )
            for name, mode, entry in read_tree(pack, oid):
                if mode == FOLDER and name.decode("utf-8", "replace") in HIDDEN_FOLDERS:
                    path = f"{folder}/{name.decode()}" if folder else name.decode()
                    if name.decode() in SECRET_FOLDERS:
                        self.left.append(f"{path}/")
                    continue
                path = checked(name, folder)
                if mode == FOLDER:
                    waiting.append((path, entry))
                elif mode in FILES:
                    self._add_file(Planned(path, pack, entry, bool(mode & 0o111)), maximum)
                elif mode == SUBMODULE:
                    submodules.append((path, entry))
                elif mode == LINK:
                    message = f"{shown(path)} is a symbolic link, and a source holds files and folders only; put the file itself there"
                    raise refused(message, path)
                else:
                    raise damaged(f"{shown(path)} is neither a file nor a folder")
        return submodules

    def _add_file(self, file: Planned, maximum: int) -> None:
        if file.path.endswith(".pyc"):
            return
        if file.oid not in file.pack and file.pack.has_larger:
            raise too_large(
                f"{shown(file.path)} has more than {LARGEST} bytes; keep it elsewhere, and let the function read it there"
            )
        if file.pack.kind(file.oid) != BLOB:
            raise damaged(f"{shown(file.path)} is no file")
        self.files.append(file)
        self.size += file.pack.size(file.oid)
        if len(self.files) > _MOST_FILES:
            raise too_large(f"the source has more than {_MOST_FILES} files; name the folder that the function is in")
        if self.size > maximum:
            raise too_large(
                f"the source has more than {maximum} bytes unpacked; name the folder that the function is in"
            )


def folder_in(pack: Pack, tree: bytes, folder: str) -> bytes:
    """The tree at `folder`."""
    passed = ""
    for part in folder.split("/") if folder else []:
        entries = read_tree(pack, tree)
        found = next((entry for entry in entries if entry.name == part.encode()), None)
        if found is None or found.mode != FOLDER:
            raise failed(_missing(folder, passed, found, entries))
        tree = found.oid
        passed = f"{passed}{part}/"
    return tree


def _missing(folder: str, passed: str, found: Entry | None, entries: list[Entry]) -> str:
    if found is not None:
        what = {SUBMODULE: "a submodule, whose own repository is to be named as the source", LINK: "a symbolic link"}
        return f"{shown(passed)}{shown(found.name)} is {what.get(found.mode, 'a file')}, and no folder; write one into folder"
    folders = [shown(entry.name) for entry in entries if entry.mode == FOLDER]
    names = ", ".join(folders[:_MOST_NAMED]) + (", …" if len(folders) > _MOST_NAMED else "")
    there = f"there is {names}" if folders else "there is none"
    return f"the repository has no folder {shown(folder)}; write one that it has into folder{f': in {shown(passed)}' if passed else ':'} {there}"
