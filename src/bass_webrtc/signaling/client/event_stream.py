"""Listens for the server's wish to be called elsewhere. It is an extension: whatever fails, the session goes on."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import aclosing

from ...errors import SignalingError
from .errors import ErrorMaker
from .events import EVENT_STREAM, RECONNECT, EventReader, read_reconnect
from .fetch import Fetcher
from .redirects import Trust
from .rules import read_location
from .urls import UnsafeUrlError, Url

_AGAIN_S = 5.0
_TRIES = 5
"""Event streams that ended in a row, with nothing in them: the server has none for us."""

logger = logging.getLogger(__name__)


async def wait_for_reconnect(
    fetcher: Fetcher, errors: ErrorMaker, trust: Trust, source: Url | None, timeout_s: float
) -> str:
    """Subscribes, and waits for a ``reconnect`` event; for ever where none can be had.

    Args:
        fetcher: Sends the requests.
        errors: Hides the stream's URL.
        trust: Where they may go.
        source: The URL of the ``Link``; None without one.
        timeout_s: For the subscription.

    Returns:
        The URL of the event, as it came.
    """
    url = None if source is None else await _subscribe(fetcher, errors, trust, source, timeout_s)
    while url is None:
        await asyncio.get_running_loop().create_future()
    return url


async def _subscribe(fetcher: Fetcher, errors: ErrorMaker, trust: Trust, source: Url, timeout_s: float) -> str | None:
    body = json.dumps([RECONNECT]).encode()
    try:
        reply = await fetcher.fetch("POST", source, (("Content-Type", "application/json"),), body, timeout_s=timeout_s)
        stream = read_location(reply.headers, reply.url, trust) if 200 <= reply.status < 300 else None
        if stream is not None:
            errors.hide(stream, shortest=10)
            return await _listen(fetcher, stream)
        logger.info("%s gives no events: HTTP %d", source.shown, reply.status)
    except (SignalingError, UnsafeUrlError) as error:
        logger.info("no events: %s", error)
    return None


async def _listen(fetcher: Fetcher, stream: Url) -> str:
    """Raises SignalingError when it is no use any more."""
    failures = 0
    while True:
        try:
            reader = EventReader()
            async with aclosing(fetcher.stream(stream, EVENT_STREAM)) as chunks:
                async for chunk in chunks:
                    failures = 0
                    for name, data in reader.feed(chunk):
                        url = read_reconnect(name, data)
                        if url is not None:
                            return url
        except SignalingError as error:
            # Without a status: an ICE restart has given up the connections.
            if error.status:
                raise
        except ValueError as error:
            raise SignalingError(0, stream.shown, str(error)) from None
        failures += 1
        if failures == _TRIES:
            raise SignalingError(0, stream.shown, "the event stream ends again and again")
        await asyncio.sleep(_AGAIN_S)
