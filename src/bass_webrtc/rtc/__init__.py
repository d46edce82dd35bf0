"""The WebRTC protocols without I/O: no sockets, no event loop, no clock. Time and randomness are arguments."""
