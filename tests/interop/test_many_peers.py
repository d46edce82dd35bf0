"""Two hundred players at once, and one more than ``max_peers``."""

from __future__ import annotations

import time

import pytest

from support.conformance import covers
from support.farm import PlayerFarm
from support.reruns import real_time_audio
from support.server_process import ServerProcess

pytestmark = [pytest.mark.alone, real_time_audio]

PEERS = 200


@covers("SE61")
def test_two_hundred_players_get_every_frame_and_one_more_is_refused(farm: PlayerFarm) -> None:
    """The limit answers 503; connected players are not affected."""
    with ServerProcess(max_peers=PEERS) as server:
        farm.connect(server.whep_url, PEERS)
        farm.reset()
        time.sleep(5.0)
        _, failures = farm.try_connect(server.whep_url)
        assert list(failures.values()) == [1]
        assert next(iter(failures)).startswith("HTTP 503")
        report = farm.report()
        assert report.states == {"connected": PEERS}
        assert sum(report.missing) == 0
        assert report.duplicates == 0
        assert min(report.packets) > 230
        assert server.stats()["active_peers"] == PEERS
        assert farm.disconnect() == {"200": PEERS}
        assert server.stats()["active_peers"] == 0
