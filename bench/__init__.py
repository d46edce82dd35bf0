"""Benchmarks of bass-webrtc's performance claims: ``python -m bench [NAME …]``; default: all."""
