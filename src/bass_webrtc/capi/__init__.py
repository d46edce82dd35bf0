"""``libbass_webrtc``, the package as a C library. ``bass_webrtc.h`` is its interface and its manual.

    host ─► dispatch.c (generated), library.c, stats.c ─► capi.py ─► handles.py ─► Server, WhipClient, WhepClient
            python_start.c: the first call starts Python, where python_place.c finds it, or joins the host's

A Windows host links with ``bass_webrtc.dll`` (stub.c and generated functions), which loads the library from the folder
``bass_webrtc`` beside it.

``header.py`` parses the header, ``dispatch.py`` generates the plumbing of its functions, and ``build_capi.py`` builds
the library.
"""
