"""What ``import bass_webrtc`` does not show: files of the package, what the compiled core imports, and BASS.

``bass/locate.py`` finds BASS inside the package sound_lib without importing it.
"""

from __future__ import annotations

from PyInstaller.utils.hooks import can_import_module, collect_data_files, collect_dynamic_libs

datas = collect_data_files("bass_webrtc", includes=["web/*", "signaling/server/*.json"])
hiddenimports = ["_cffi_backend"]
binaries = []
if can_import_module("sound_lib"):
    hiddenimports.append("sound_lib")
    binaries += collect_dynamic_libs("sound_lib")
