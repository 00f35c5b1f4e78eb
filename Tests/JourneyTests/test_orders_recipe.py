"""cookbook/take-orders, as its README walks through it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from async_calls import ended
from casemate_fixture import Server

RECIPE = Path(__file__).resolve().parents[2] / "cookbook/take-orders"


def test_an_order_is_accepted_answered_later_and_refused_where_it_is_none(running: Server) -> None:
    running.namespace("recipe")
    assert running.cli("deploy", str(RECIPE), "--namespace", "recipe")[0] == 0
    function = "recipe/take-orders"

    def order(amount: int) -> tuple[int, str, str]:
        data = json.dumps({"order": {"item": "BLT-7", "amount": amount}})
        return running.cli("invoke", function, "--async", "--data", data, "--idempotency-key", f"order-{amount}")

    code, out, err = order(3)
    call = re.search(r"[0-9a-f-]{36}", out + err)
    assert code == 0 and call, out + err
    assert ended(running, call[0])["status"] == "succeeded"
    code, out, _ = running.cli("call", "result", function, call[0])
    assert code == 0 and json.loads(out) == {"number": call[0], "price": 12}
    assert call[0] in "".join(order(3)[1:]), "the same order is the same call"
    code, out, err = order(300)
    assert code != 0 and "/order/amount in the body must be at most 100" in err and "Traceback" not in err
    code, out, _ = running.cli("schedule", "list", function)
    assert code == 0 and "closing" in out and "30 18 * * 1-5" in out
    code, out, err = running.cli("schedule", "run", function, "closing")
    run = re.search(r"[0-9a-f-]{36}", out + err)
    assert code == 0 and run and ended(running, run[0])["status"] == "succeeded"
    assert "the day is closed" in running.cli("logs", function)[1]
