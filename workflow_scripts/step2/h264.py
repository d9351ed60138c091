"""H.264 as it lies in an mp4 (ISO/IEC 14496-15): is each packet at least built as the standard has it?

No picture is decoded, so this is as fast as reading: it finds bytes that were overwritten, zeroed, moved or cut off, and
takes for whole what is wrong inside a slice only.
"""

from __future__ import annotations

_LENGTH = 4
"""Bytes that give the length of a NAL unit, in every mp4 that ffmpeg, cameras and editors write."""
_LAST_TYPE = 23
"""NAL unit types from 24 on are not used in files."""
_NEVER_INSIDE = (b"\0\0\0", b"\0\0\1")
"""ISO/IEC 14496-10, 7.4.1: an encoder breaks such a sequence up with a byte 3."""


def is_well_formed(packet: bytes) -> bool:
    """Tell whether a packet is a sequence of NAL units of H.264, each behind its length, to its last byte."""
    at, end = 0, len(packet)
    while at < end:
        begin = at + _LENGTH
        at = begin + int.from_bytes(packet[at:begin], "big")
        if at > end or at == begin or packet[begin] & 0x80 or not 1 <= packet[begin] & 0x1F <= _LAST_TYPE:
            return False
        if any(packet.find(never, begin, at) >= 0 for never in _NEVER_INSIDE):
            return False
    return end > 0
