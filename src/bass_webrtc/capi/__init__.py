"""``libbass_webrtc``, the package as a C library. ``bass_webrtc.h`` is its interface and its manual.

    host ─► dispatch.c (generated), library.c, stats.c ─► capi.py ─► handles.py ─► Server, WhipClient, WhepClient
            python_start.c: the first call starts Python, or joins the host's

``header.py`` parses the header, ``dispatch.py`` generates the plumbing of its functions, and ``build_capi.py`` builds
the library.
"""
