"""Which names a tree may have. One that two systems could read differently is refused, not repaired."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from dulwich.index import validate_path_element_hfs, validate_path_element_ntfs

from casemate_fetch.faults import failed, refused, shown

LONGEST_PATH: Final = 1024
_LONGEST_NAME: Final = 255
_CONTROL: Final = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")  # Unicode's Cc, Zl and Zp
_DRIVE: Final = re.compile(r"[A-Za-z]:")

# As the command line packs a folder. Files with credentials are kept, other than there: what is in a repository has
# leaked already, and the gate can only say so of what it sees.
SECRET_FOLDERS: Final = frozenset({".git", ".aws", ".ssh"})
HIDDEN_FOLDERS: Final = SECRET_FOLDERS | {
    ".venv", "__pycache__", "node_modules", ".mypy_cache", ".pytest_cache", ".hg", ".svn",
}  # fmt: skip


def checked(name: bytes, folder: str) -> str:
    """The path of an entry of a tree."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise _refused("is not UTF-8", folder, name) from None
    if text in ("", ".", "..") or "/" in text or (not folder and _DRIVE.match(text)):
        raise _refused("leads elsewhere", folder, name)
    if _CONTROL.search(text):
        raise _refused("holds a control character", folder, name)
    if "\\" in text:
        raise _refused("holds a backslash", folder, name)
    if not unicodedata.is_normalized("NFC", text):
        raise _refused("is not in Unicode's form NFC", folder, name)
    # What other file systems take for .git: `.GIT`, `git~1`, `.git .`, and with characters that HFS+ does not see.
    if not validate_path_element_ntfs(name) or not validate_path_element_hfs(name):
        raise _refused("could be taken for .git", folder, name)
    path = f"{folder}/{text}" if folder else text
    if len(name) > _LONGEST_NAME or len(path.encode()) > LONGEST_PATH:
        raise _refused("is too long", folder, name)
    return path


def check_folder(folder: str) -> None:
    """`functions/one`, or nothing for the whole tree."""
    parts = folder.split("/") if folder else []
    is_clean = len(folder.encode("utf-8", "surrogatepass")) <= LONGEST_PATH and not _CONTROL.search(folder)
    if not is_clean or "\\" in folder or any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
        raise failed(
            "folder is no path in a repository; write it as functions/one, without . and .. and a / at its ends"
        )


def _refused(what: str, folder: str, name: bytes) -> Exception:
    path = f"{folder}/{shown(name)}" if folder else shown(name)
    return refused(f"the name of {shown(path)} {what}; rename it in the repository", path)
