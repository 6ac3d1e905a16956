"""Whether the items and elements of a data set fill one another exactly, as DICOM's encoding requires."""

import functools
import struct

from pydicom.datadict import dictionary_has_tag, dictionary_VR

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXEL_DATA = 0x7FE00010
# Explicit VRs whose length has 32 bits; PS3.5 table 7.1-1.
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}


def check_nesting(data: bytes, *, implicit: bool, little_endian: bool) -> None:
    """Walk through every element and item of a data set and make sure that each ends inside the one around it.

    Compressed pixels are items too, whose content is not looked at.

    Args:
        data: an encoded data set, without the file meta information.
        implicit: whether its VRs are implicit.
        little_endian: its byte order.

    Raises:
        ValueError: an item or element ends elsewhere than its length says, or stands where it must not.
        struct.error: the data end inside an element's head.

    Source: DICOM PS3.5, 7.1 (data elements) and 7.5 (nesting).

    Example:
        >>> check_nesting(bytes.fromhex("0800 0500 0200 0000 4142"), implicit=True, little_endian=True)
        >>> check_nesting(bytes.fromhex("0800 0500 0400 0000 4142"), implicit=True, little_endian=True)
        Traceback (most recent call last):
        ValueError: an element goes on after what it is part of
    """
    order = "<" if little_endian else ">"
    pair, long, short = struct.Struct(order + "HH"), struct.Struct(order + "I"), struct.Struct(order + "H")
    # What encloses the present place, innermost last: whether it is a sequence, its end (None: a delimiter ends it),
    # the nearest end known, whether VRs are implicit in it, and whether its items are fragments of pixels.
    around: list[tuple[bool, int | None, int, bool, bool]] = [(False, len(data), len(data), implicit, False)]
    at = 0
    while around:
        in_sequence, end, limit, implicit, in_pixels = around[-1]
        if at == end:
            around.pop()
            continue
        group, number = pair.unpack_from(data, at)
        tag, vr = group << 16 | number, b""
        if group == 0xFFFE or implicit:
            (length,), head = long.unpack_from(data, at + 4), 8
        else:
            vr = data[at + 4 : at + 6]
            (length,), head = (
                (long.unpack_from(data, at + 8), 12) if vr in _LONG else (short.unpack_from(data, at + 6), 8)
            )
        at += head
        if tag == (_SEQUENCE_END if in_sequence else _ITEM_END) and end is None and length == 0:
            around.pop()
            continue
        if (tag == _ITEM) != in_sequence or (group == 0xFFFE and tag != _ITEM):
            raise ValueError("an item or its end stands where it must not")
        if length != _UNDEFINED and at + length > limit:
            raise ValueError("an element goes on after what it is part of")
        sequence = length == _UNDEFINED or vr == b"SQ" or (implicit and _is_sequence(tag))
        opens = sequence or (tag == _ITEM and not in_pixels)
        if opens:
            inner_end = None if length == _UNDEFINED else at + length
            # What is written as unknown (UN) without a length is a sequence with implicit VRs; PS3.5 6.2.2.
            inner_limit = limit if inner_end is None else inner_end
            around.append((tag != _ITEM, inner_end, inner_limit, implicit or vr == b"UN", tag == _PIXEL_DATA))
        else:
            at += length


@functools.cache
def _is_sequence(tag: int) -> bool:
    return dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"
