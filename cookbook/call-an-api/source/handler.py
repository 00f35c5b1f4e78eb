"""Asks an API that wants a key, and sums its answer up. The key itself never comes here."""

import json
import os
import urllib.error
import urllib.request
from typing import Any

LONGEST = 1 << 20


def handle(data: Any, secrets: dict[str, str]) -> dict[str, Any]:
    request = urllib.request.Request(os.environ["API_URL"])
    # What stands here is a placeholder. The server puts the key in its place, on the way to that one host.
    request.add_header("Authorization", f"Bearer {secrets['API_KEY']}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # nosec B310  # who deploys sets the address
            found = json.loads(answer.read(LONGEST))
    except urllib.error.HTTPError as error:
        return {"error": f"the API answered {error.code}"}
    except (OSError, ValueError) as error:
        print(f"calling the API: {error}")
        return {"error": "the API can't be asked now; the log says why"}
    parts = found.get("services", {}) if isinstance(found, dict) else {}
    down = sorted(name for name, state in parts.items() if state != "up")
    return {"services": len(parts), "down": down}
