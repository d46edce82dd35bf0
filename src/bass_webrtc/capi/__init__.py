"""libbass_webrtc: the whole of the package as a C library. ``bass_webrtc.h`` is its manual.

    host ─► library.c, stats.c, error.c ─► capi.py ─► handles.py ─► Server, WhipClient, WhepClient
            python_start.c: the first call starts Python, or finds the host's

``build_capi.py`` makes the library: cffi, embedding mode.
"""
