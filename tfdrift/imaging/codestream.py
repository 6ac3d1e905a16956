"""The size a compressed frame will decode to, from its own header, before a decoder allocates it."""

import struct

_J2K_START = b"\xff\x4f\xff\x51"
_JPEG_START = b"\xff\xd8"
# Every start-of-frame marker of JPEG and JPEG-LS; C4, C8 and CC in between mean other things.
_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


def frame_shape(encoded: bytes) -> tuple[int, int, int] | None:
    """Return what a JPEG, JPEG-LS or JPEG 2000 frame says it is.

    Args:
        encoded: one frame as it stands in PixelData.

    Returns:
        Rows, columns, components; None for another code (run-length code has no header of its own).

    Raises:
        ValueError: it begins as one of these and has no size.

    Source: ITU-T T.81 B.2.2, T.87 C.2.2, T.800 A.5.1.

    Example:
        >>> frame_shape(bytes.fromhex("ffd8 fff7 000b 08 0040 0020 01 011100"))
        (64, 32, 1)
    """
    start = encoded.find(_J2K_START, 0, 512)
    if start >= 0 and not encoded.startswith(_JPEG_START):
        # SOC, SIZ, then Lsiz and Rsiz, both 16 bits.
        right, bottom, left, top = struct.unpack_from(">IIII", encoded, start + 8)
        (components,) = struct.unpack_from(">H", encoded, start + 40)
        return bottom - top, right - left, components
    if not encoded.startswith(_JPEG_START):
        return None
    at = 2
    while at + 10 <= len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _START_OF_FRAME:
            rows, columns, components = struct.unpack_from(">HHB", encoded, at + 5)
            return rows, columns, components
        else:
            at += 2 + struct.unpack_from(">H", encoded, at + 2)[0]
    raise ValueError("a JPEG frame without a size")
