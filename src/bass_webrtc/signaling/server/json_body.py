"""Strict reading of a JSON object: syntax first, then every member against a schema of the OpenAPI document.

So what the document promises is what the server enforces. Of JSON Schema, the words that ``openapi.json`` uses for
bodies are understood: ``properties``, ``required``, ``minProperties``, and of a member ``enum``, ``type``, ``minimum``,
``maximum`` and ``maxLength``. Members that the schema does not have are always refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..messages import Refused, Request, media_type

JSON = "application/json"
MAX_BODY_BYTES = 4096
_LONGEST_SHOWN = 40

Schema = Mapping[str, Any]


def read_object(request: Request, schema: Schema) -> dict[str, Any]:
    """Return the members of a body, each with the type that its schema demands.

    Args:
        request: The request.
        schema: Of an object.

    Raises:
        Refused: 400 it is not JSON, 413 it is too long, 415 it is of another type, 422 a member is unknown or wrong.
    """
    accept = (f"Accept-{request.method.title()}", JSON)
    if media_type(request) != JSON:
        raise Refused(415, f"Content-Type must be {JSON}.", (accept,))
    if (request.headers.get("Content-Encoding") or "identity").strip().lower() != "identity":
        raise Refused(415, "The body must not be compressed.", (accept, ("Accept-Encoding", "identity")))
    if len(request.body) > MAX_BODY_BYTES:
        raise Refused(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
    return _checked_object(_parse(request.body), schema)


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise Refused(400, "The body is not valid JSON; expected an object in UTF-8, such as {}.") from None


def _refuse_constant(name: str) -> Any:
    raise Refused(400, f"The body has {name}, which is not JSON.")


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse repeated names: programs disagree about which value counts (RFC 8259, 4)."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise Refused(400, "A member of the body occurs twice.")
    return members


def _checked_object(value: Any, schema: Schema) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refused(422, f"The body is {_shown(value)}; expected an object, such as {{}}.")
    properties: Mapping[str, Schema] = schema["properties"]
    expected = ", ".join(properties)
    for name in value:
        if name not in properties:
            raise Refused(422, f"The member {_shown(name)} is unknown; expected only {expected}.")
    for name in schema.get("required", ()):
        if name not in value:
            raise Refused(422, f'The member "{name}" is missing.')
    if len(value) < schema.get("minProperties", 0):
        raise Refused(422, f"The object is empty; expected at least one of {expected}.")
    return {name: _checked(name, member, properties[name]) for name, member in value.items()}


def _checked(name: str, value: Any, schema: Schema) -> Any:
    kind = schema.get("type", "enum")
    match kind:
        case "boolean" if isinstance(value, bool):
            return value
        case "string" if isinstance(value, str) and len(value) <= schema["maxLength"]:
            return value
        case "number" if _is_in_range(value, schema):
            return float(value)
        case "integer" if _is_in_range(value, schema) and value == int(value):  # 1.0 is an integer in JSON Schema.
            return int(value)
        case "enum" if isinstance(value, str) and value in schema["enum"]:
            return value
    raise Refused(422, f'The member "{name}" is {_shown(value)}; expected {_expected(kind, schema)}.')


def _is_in_range(value: Any, schema: Schema) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and schema["minimum"] <= value <= schema["maximum"]  # 1e999 is an infinity.


def _expected(kind: str, schema: Schema) -> str:
    match kind:
        case "boolean":
            return "true or false"
        case "string":
            return f"text of at most {schema['maxLength']} characters"
        case "enum":
            return f"one of {', '.join(schema['enum'])}"
    return f"{'a whole number' if kind == 'integer' else 'a number'} from {schema['minimum']} to {schema['maximum']}"


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
