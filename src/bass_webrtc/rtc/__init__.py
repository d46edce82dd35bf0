"""The WebRTC protocols as sans-I/O code: no sockets, event loop or clock. The caller passes in time and randomness."""
