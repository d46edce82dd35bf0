"""Shared test support: browsers, networks, lightweight players, and audio analysis."""
