"""Names of BASS's error codes, from ``bass.h``."""

from __future__ import annotations

ERROR_HANDLE = 5
ERROR_ALREADY = 14
ERROR_DEVICE = 23
ERROR_TIMEOUT = 40
ERROR_FILEFORM = 41
ERROR_ENDED = 45

_NAMES = {
    0: "OK",
    1: "ERROR_MEM",
    2: "ERROR_FILEOPEN",
    3: "ERROR_DRIVER",
    4: "ERROR_BUFLOST",
    ERROR_HANDLE: "ERROR_HANDLE",
    6: "ERROR_FORMAT",
    7: "ERROR_POSITION",
    8: "ERROR_INIT",
    9: "ERROR_START",
    10: "ERROR_SSL",
    11: "ERROR_REINIT",
    ERROR_ALREADY: "ERROR_ALREADY",
    17: "ERROR_NOTAUDIO",
    18: "ERROR_NOCHAN",
    19: "ERROR_ILLTYPE",
    20: "ERROR_ILLPARAM",
    21: "ERROR_NO3D",
    22: "ERROR_NOEAX",
    ERROR_DEVICE: "ERROR_DEVICE",
    24: "ERROR_NOPLAY",
    25: "ERROR_FREQ",
    27: "ERROR_NOTFILE",
    29: "ERROR_NOHW",
    31: "ERROR_EMPTY",
    32: "ERROR_NONET",
    33: "ERROR_CREATE",
    34: "ERROR_NOFX",
    37: "ERROR_NOTAVAIL",
    38: "ERROR_DECODE",
    39: "ERROR_DX",
    ERROR_TIMEOUT: "ERROR_TIMEOUT",
    ERROR_FILEFORM: "ERROR_FILEFORM",
    42: "ERROR_SPEAKER",
    43: "ERROR_VERSION",
    44: "ERROR_CODEC",
    ERROR_ENDED: "ERROR_ENDED",
    46: "ERROR_BUSY",
    47: "ERROR_UNSTREAMABLE",
    48: "ERROR_PROTOCOL",
    49: "ERROR_DENIED",
    50: "ERROR_FREEING",
    51: "ERROR_CANCEL",
    -1: "ERROR_UNKNOWN",
}


def error_name(code: int) -> str:
    """Return ``"BASS_ERROR_HANDLE"`` for 5. Codes not named in ``bass.h`` keep their number."""
    return f"BASS_{_NAMES.get(code, f'ERROR_{code}')}"
