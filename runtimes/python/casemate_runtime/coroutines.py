"""What an `async def` needs. asyncio is imported when the first one shows: it takes 5 MB and 25 ms, and most functions have none."""

from __future__ import annotations

from types import CoroutineType
from typing import Any


def finished(result: Any) -> Any:
    """The result itself, or what an `async def` handler makes of its coroutine."""
    if type(result) is not CoroutineType:
        return result
    import asyncio

    return asyncio.run(result)
