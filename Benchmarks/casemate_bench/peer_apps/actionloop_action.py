"""The action's process: a line of JSON on standard input is a call, a line on descriptor 3 its answer, as OpenWhisk's action loop."""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from work import work

out = os.fdopen(3, "wb")
while line := sys.stdin.readline():
    answer = work(json.loads(line).get("value", {}))
    out.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
    sys.stdout.flush()
    sys.stderr.flush()
    out.flush()
