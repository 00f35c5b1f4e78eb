"""Stand-in for Fission's Python environment: Flask on bjoern runs already, and POST /v2/specialize names the file of the function.

From then on every other request goes to that file's function, as in Fission: a pool of generic servers, each specialised once.
"""

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

import bjoern
from flask import Flask, abort, request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
app = Flask(__name__)
function: Callable[[], Any] | None = None


@app.post("/v2/specialize")
def specialise() -> Any:
    global function
    told = request.get_json()
    loader = importlib.machinery.SourceFileLoader("user", told["filepath"])
    spec = importlib.util.spec_from_loader("user", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    function = getattr(module, told["functionName"])
    return ""


@app.route("/", methods=["GET", "POST"])
@app.route("/<path:path>", methods=["GET", "POST"])
def call(path: str = "") -> Any:
    return function() if function else abort(500)


bjoern.run(app, "127.0.0.1", int(sys.argv[1]))
