"""What bass-webrtc claims about speed, measured: ``python -m bench [NAME …]``, all if none."""
