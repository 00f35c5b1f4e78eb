"""The function that the stand-in for Fission serves under load."""

import json
from typing import Any

from flask import Response, request
from work import work


def main() -> Any:
    return Response(json.dumps(work(request.get_json())), content_type="application/json")
