"""Signs what it is sent with a secret that it never shows, even when it tries to."""

import hashlib
import hmac
import json
from typing import Any


def handle(data: Any, secrets: dict[str, str]) -> dict[str, str]:
    """Answers the HMAC-SHA-256 of `data` under API_KEY; with `"mistake": true` it prints the key, as people do."""
    key = secrets["API_KEY"].encode()
    message = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    signature = hmac.new(key, message, hashlib.sha256).hexdigest()
    print(f"signing {len(message)} bytes")
    if isinstance(data, dict) and data.get("mistake"):
        print("debug: the key is", secrets["API_KEY"])
    return {"signature": signature}
