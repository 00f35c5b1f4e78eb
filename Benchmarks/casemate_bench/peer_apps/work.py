"""What every peer's function does, as Casemate's does it."""

from typing import Any


def work(data: Any) -> Any:
    return {"ok": True, "n": len(data.get("items", ())), "echo": data}
