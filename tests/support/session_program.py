"""The part of a program that publishes to its own server, as text: for programs that cannot import the tests."""

from __future__ import annotations

PUBLISH = """
import time


def publish(server, client):
    client.start()
    print("connected", client.wait_connected(30))
    ends_s = time.perf_counter() + 30
    while not any(peer.packets_received for peer in server.stats().peers) and time.perf_counter() < ends_s:
        time.sleep(0.02)
    print("received", any(peer.packets_received for peer in server.stats().peers))
"""
