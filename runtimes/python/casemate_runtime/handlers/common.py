"""What the signatures share: JSON in and out, and the two ways in which an answer can fail without the function raising."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NoReturn

Reply = tuple[int, bytes, bytes]
"""HTTP status, headers as pairs, body."""

Handler = Callable[[memoryview, memoryview, int], Reply]
"""Meta and body of an invoke frame and the call's number."""

Begin = Callable[[memoryview, memoryview, int], Any]
"""The same, answering what the function returned as it is; of an `async def` its coroutine."""

Respond = Callable[[Any], Reply]
"""From a result to the reply."""

JSON_TYPE: Final = b"content-type\0application/json\0"
TEXT_TYPE: Final = b"content-type\0text/plain; charset=utf-8\0"


class BadRequest(Exception):
    """The body is not what the signature needs. The reason goes to the caller: it must not quote the body."""


class BadResult(Exception):
    """The result can't be turned into a response. The reason goes to the function's log."""


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequest(f"the request's body is not valid JSON: {name} is not a number of JSON")


_decode: Final = json.JSONDecoder(parse_constant=_refuse_constant).decode
# Without the search for circles, which costs up to a fifth: a circle ends as too deep.
_encode: Final = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
).encode
_encode_escaped: Final = json.JSONEncoder(
    ensure_ascii=True, check_circular=False, allow_nan=False, separators=(",", ":")
).encode


def read_json(body: memoryview) -> Any:
    # Not json.loads of bytes: that one guesses UTF-16 and UTF-32 and builds a decoder for each call with an option.
    try:
        return _decode(str(body, "utf-8"))
    except BadRequest:
        raise
    except UnicodeDecodeError:
        raise BadRequest("the request's body is not UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise BadRequest(f"the request's body is not valid JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise BadRequest("the request's body is nested too deeply") from None
    except ValueError:
        raise BadRequest("the request's body has a number with too many digits") from None
    except Exception:  # the C scanner looks `json.decoder` up to raise its error: a bundle may have a `json` of its own
        raise BadRequest("the request's body is not valid JSON") from None


def write_json(value: Any) -> bytes:
    try:
        return _encode(value).encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can carry only as an escape
        return _encode_escaped(value).encode()
    except RecursionError:
        raise BadResult("it is nested too deeply for JSON") from None
    except (TypeError, ValueError) as error:
        raise BadResult(str(error)) from None


def bare(result: Any) -> Any:
    """The end of what only begins."""
    return result
