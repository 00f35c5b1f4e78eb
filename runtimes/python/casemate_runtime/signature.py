"""Which signature a function has: told by the manifest, or recognised by its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Any, Final, NamedTuple

from casemate_runtime.faults import Fault
from casemate_runtime.handlers import cognite, scaleway

_BY_POSITION: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME: Final = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_CHOICES: Final = (
    "it can be handle(client, data, secrets, function_call_info) or any of these by name, "
    "or handle(event, context); or set the signature in the manifest"
)


class Signature(NamedTuple):
    """`arguments`: those to pass by name; `None` passes (event, context) by position."""

    name: str
    arguments: frozenset[str] | None


def recognise(function: Callable[..., Any], told: str, shown_as: str) -> Signature:
    """`told` is `cognite`, `scaleway` or empty. Raises a `Fault` without a file: the caller knows where the function is."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        if told == "cognite":
            return Signature("cognite", cognite.ARGUMENTS)
        if told == "scaleway":
            return Signature("scaleway", None)
        raise Fault("signature-unknown", f"the parameters of {shown_as} can't be read: {_CHOICES}") from None
    if told == "cognite":
        found = _cognite(parameters, told=True)
    elif told == "scaleway":
        found = _scaleway_told(parameters)
    elif told:
        raise Fault("signature-unknown", f"this runtime knows no signature {told!r}: {_CHOICES}")
    else:
        found = _cognite(parameters, told=False) or _scaleway(parameters)
    if found is None:
        listed = ", ".join(str(parameter.replace(annotation=Parameter.empty)) for parameter in parameters)
        but = f" has not the signature {told}" if told else " has no signature that is known"
        raise Fault("signature-unknown", f"{shown_as}({listed}){but}: {_CHOICES}")
    return found


def _cognite(parameters: list[Parameter], told: bool) -> Signature | None:
    named = {parameter.name for parameter in parameters if parameter.kind in _BY_NAME}
    takes_any_name = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters)
    for parameter in parameters:
        if parameter.kind is Parameter.VAR_POSITIONAL and not told:
            return None  # (*args, **kwargs) is what any decorator leaves behind: it says nothing
        if parameter.kind is Parameter.POSITIONAL_ONLY and parameter.default is Parameter.empty:
            return None
        if parameter.kind in _BY_NAME and parameter.name not in cognite.ARGUMENTS:
            if not told or parameter.default is Parameter.empty:
                return None
    return Signature("cognite", cognite.ARGUMENTS if takes_any_name else cognite.ARGUMENTS & named)


def _scaleway(parameters: list[Parameter]) -> Signature | None:
    if any(parameter.kind is Parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    plain = [parameter for parameter in parameters if parameter.kind is not Parameter.VAR_KEYWORD]
    if len(plain) == 2 and all(parameter.kind in _BY_POSITION for parameter in plain):
        return None if cognite.ARGUMENTS & {parameter.name for parameter in plain} else Signature("scaleway", None)
    names = frozenset(parameter.name for parameter in plain if parameter.kind in _BY_NAME)
    return Signature("scaleway", names) if len(names) == len(plain) and names <= scaleway.ARGUMENTS else None


def _scaleway_told(parameters: list[Parameter]) -> Signature | None:
    try:
        inspect.Signature(parameters).bind(None, None)
        return Signature("scaleway", None)
    except TypeError:
        return _scaleway(parameters)
