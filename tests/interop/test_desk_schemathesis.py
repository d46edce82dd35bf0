"""schemathesis sends what the OpenAPI document of the desk allows and what it forbids, and checks every response."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig

from bass_webrtc.loop_thread import LoopThread
from bass_webrtc.signaling.server.desk import Desk
from bass_webrtc.signaling.server.http_server import HttpServer, HttpSettings
from support.desk_ends import BEARER, SETTINGS, FakeCallBook, call_stats, desk_end

DOCUMENT: dict[str, Any] = json.loads(Desk(SETTINGS, FakeCallBook())._openapi)
SEED = 14
EXAMPLES = 40
"""Of each operation, besides the boundaries of every value that schemathesis covers."""


class LastingCallBook(FakeCallBook):
    """Has 50 calls, which stay when they are hung up, so that random numbers hit some of them."""

    def __init__(self) -> None:
        super().__init__(*(call_stats(number) for number in range(50)))

    def hang_up(self, call_id: int, reason: str) -> None:
        self.hung_up.append((call_id, reason))


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """URL of a desk, in whose minutes one invite is made."""
    loop = LoopThread("desk")
    desk = Desk(SETTINGS, LastingCallBook(), itertools.count(0.0, 61.0).__next__)
    server = HttpServer(HttpSettings(port=0), [desk])
    loop.run(server.start())
    yield server.url.rstrip("/")
    loop.run(server.stop())
    loop.stop()


def strict_api() -> Any:
    """Return the document without its general responses: a status that an operation does not list is an error then."""
    document = json.loads(json.dumps(DOCUMENT))
    for item in document["paths"].values():
        for operation in [one for name, one in item.items() if name != "parameters"]:
            del operation["responses"]["default"]
    del document["paths"]["/api/events"]  # Its response does not end.
    return schemathesis.openapi.from_dict(document, config=SchemathesisConfig(seed=SEED))


@strict_api().parametrize()  # type: ignore[untyped-decorator]
@settings(max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_no_request_breaks_the_server_or_the_document(case: Any, served: str) -> None:
    """Allowed values are accepted, forbidden ones refused, and every response is as documented."""
    case.call_and_validate(base_url=served, headers=BEARER)


async def test_events_have_the_documented_data() -> None:
    validators = {
        event: jsonschema_rs.validator_for({**DOCUMENT, "$ref": f"#/components/schemas/{name}"})
        for event, name in (("desk", "State"), ("levels", "Levels"))
    }
    async with desk_end() as end, end.events() as events:
        end.book.invites.create("Anna")
        for event in ("desk", "levels", "desk"):
            _name, data = await events.next(event)
            validators[event].validate(data)
        assert data["invites"]
        assert not validators["desk"].is_valid({**data, "more": 1}), "the schema can fail"
