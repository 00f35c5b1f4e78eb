"""docs/security-tour.md, pasted into a shell block by block: each block says what the page promises."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

from casemate_fixture import Server, binary

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END = "--- end of a block ---"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def pattern(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in line.strip().split("…")))


def paste(shell: subprocess.Popen[str], block: str) -> list[str]:
    assert shell.stdin is not None and shell.stdout is not None
    shell.stdin.write(f"{block}\necho; echo '{END}'\n")
    shell.stdin.flush()
    said: list[str] = []
    for line in shell.stdout:
        if line.strip() == END:
            return said
        said.append(line.rstrip("\n"))
    raise AssertionError(f"the shell ended in\n{block}\n" + "\n".join(said))


def test_the_tour_works_by_copy_and_paste(server: Server) -> None:
    text = (ROOT / "docs" / "security-tour.md").read_text()
    text = text.replace("http://127.0.0.1:8081", server.gateway_url).replace("9400", str(free_port()))
    blocks = BLOCK.findall(text)
    assert len(blocks) > 15
    environment = server.cli_environment(PATH=f"{binary().parent}:/usr/bin:/bin")
    shell = subprocess.Popen(
        ["bash"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    try:
        said: list[str] = []
        for kind, block in blocks:
            if kind == "sh":
                said = paste(shell, block)
                continue
            rest = iter(said)
            for line in block.splitlines():
                wanted = pattern(line)
                assert any(wanted.search(found) for found in rest), f"{line!r} is not what follows in\n" + "\n".join(
                    said
                )
        assert not (server.folder / "sign-in.json").exists()
        assert server.api("GET", "/v1/namespaces/tour/functions").status == 404
    finally:
        shell.stdin.close() if shell.stdin else None
        shell.kill()
        shell.wait()
