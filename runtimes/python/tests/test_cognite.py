"""`handle(client, data, secrets, function_call_info)`."""

import json
from typing import Any

import pytest
from casemate_runtime.handlers import cognite
from casemate_runtime.handlers.common import BadRequest, BadResult, Reply


def meta(query: str = "") -> memoryview:
    return memoryview(f"POST\0/\0{query}\0".encode())


def echo(body: bytes, query: str = "") -> Reply:
    return cognite.make(lambda data: data, frozenset({"data"}), {}, "ns/f")(meta(query), memoryview(body), 1)


def returning(value: Any) -> Reply:
    return cognite.make(lambda: value, frozenset(), {}, "ns/f")(meta(), memoryview(b""), 1)


@pytest.mark.parametrize("text", ['{"a":[1,2.5,null,true,"é"]}', "[]", "1", '"x"', "null", "{}"])
def test_json_goes_in_and_comes_out_compact(text: str) -> None:
    assert echo(f" {text}\n".encode()) == (200, b"content-type\0application/json\0", text.encode())


def test_without_a_body_data_is_the_query() -> None:
    assert json.loads(echo(b"", "a=1&b=2&b=3&c=&d=%C3%A9+x")[2]) == {"a": "1", "b": ["2", "3"], "c": "", "d": "é x"}
    assert echo(b"")[2] == b"{}"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{} x",
        b"'a'",
        b"nope",
        b'{"a":NaN}',
        b"[Infinity]",
        b"-Infinity",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        "{}".encode("utf-16-le"),
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"9" * 5_000,
        b'"\x01"',
        b" ",
    ],
)
def test_what_is_not_json_is_a_bad_request_in_one_line_without_the_body(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        echo(body)
    reason = str(caught.value)
    assert reason.startswith("the request's body") and "\n" not in reason and len(reason) < 150


def test_the_body_is_not_looked_at_where_data_is_not_wanted() -> None:
    answer = cognite.make(lambda: 1, frozenset(), {}, "ns/f")(meta(), memoryview(b"{{{"), 1)
    assert answer[2] == b"1"


def test_each_argument_is_passed_by_name_and_secrets_are_a_copy() -> None:
    seen: list[Any] = []

    def handle(**arguments: Any) -> None:
        seen.append({name: dict(value) if isinstance(value, dict) else value for name, value in arguments.items()})
        arguments["secrets"].clear()

    handler = cognite.make(handle, cognite.ARGUMENTS, {"KEY": "v"}, "ns/f")
    for call in (1, 2):
        handler(meta(), memoryview(b'{"a":1}'), call)
    assert [entry["secrets"] for entry in seen] == [{"KEY": "v"}] * 2
    assert seen[1] == {
        "client": None,
        "data": {"a": 1},
        "secrets": {"KEY": "v"},
        "function_call_info": {"function_id": "ns/f", "call_id": "2"},
    }


def test_an_async_handler_is_run_to_its_end() -> None:
    async def handle(data: Any) -> Any:
        return [data]

    assert cognite.make(handle, frozenset({"data"}), {}, "f")(meta(), memoryview(b"1"), 1)[2] == b"[1]"


@pytest.mark.parametrize(
    "value, said",
    [
        (object(), "object"),
        ({"a": {1, 2}}, "set"),
        (b"bytes", "bytes"),
        ({(1, 2): 3}, "tuple"),
        (float("nan"), "Out of range"),
        ([float("inf")], "Out of range"),
    ],
)
def test_a_result_that_is_not_json_names_its_type(value: Any, said: str) -> None:
    with pytest.raises(BadResult, match=said):
        returning(value)


def test_a_result_that_holds_itself_or_is_too_deep_is_a_bad_result() -> None:
    circle: list[Any] = []
    circle.append(circle)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (circle, deep):
        with pytest.raises(BadResult):
            returning(value)


def test_a_lone_surrogate_goes_through_as_an_escape() -> None:
    assert echo(b'"\\ud800"')[2] == b'"\\ud800"'
