"""Flask, for gunicorn."""

from typing import Any

from flask import Flask, request
from work import work

app = Flask(__name__)


@app.post("/")
def handle() -> Any:
    return work(request.get_json())
