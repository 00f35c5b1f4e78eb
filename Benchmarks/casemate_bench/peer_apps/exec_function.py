"""The function of the stand-in for classic-watchdog: a process per request, the body on standard input."""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from work import work

sys.stdout.write(json.dumps(work(json.loads(sys.stdin.read()))))
