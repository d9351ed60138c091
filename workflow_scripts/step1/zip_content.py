"""A zip member's content as a stream of blocks: found, decrypted, unpacked and checked, whatever its size, in little memory."""

from __future__ import annotations

import bz2
import lzma
import struct
from collections.abc import Callable, Iterator
from typing import IO, Any

import inflate64
from zlib_ng import zlib_ng

from workflow_scripts.step1.formats import ZstdDecompressor
from workflow_scripts.step1.zip_crypto import AesDecrypter, CryptoDecrypter
from workflow_scripts.step1.zip_directory import LOCAL_HEADER, Entry, ZipDamaged, extra_fields, wide_fields

ENCRYPTED = 0x1
AES_METHOD = 99
_SIZES_FOLLOW = 0x8
_BEYOND = 0x20 | 0x40 | 0x2000
"""Flags of patches, of PKWARE's own strong encryption, and of a list that is encrypted."""
_BLOCK = 1 << 18
_DEFLATED = 1 << 16
"""How much Deflate is unpacked at a time: what footage makes of it fits into a block, so that nothing is left to copy."""
_BLOCK64 = 1 << 10
"""How much Deflate64 is unpacked at a time: its library has no limit on what comes out, and a byte can become 29 KB."""

Unpack = Callable[[Iterator[bytes]], Iterator[bytes]]


class Unsupported(Exception):
    """A member is packed in a way that is not read."""


class OtherPassword(Exception):
    """A member does not open with the password."""


def content(file: IO[bytes], entry: Entry, password: bytes | None) -> Iterator[bytes]:
    """Yield a member's content; a `password` is given if it is encrypted.

    Raises ZipDamaged and what decompressors raise, at the latest at the end; OtherPassword; Unsupported.
    """
    if entry.flags & _BEYOND or entry.method not in _UNPACKERS:
        raise Unsupported("PKWARE's own encryption" if entry.flags & _BEYOND else _method_name(entry.method))
    packed = _decrypted(file, entry, password) if password is not None else _clear(file, entry)
    crc = size = 0
    for block in _UNPACKERS[entry.method](packed):
        crc, size = zlib_ng.crc32(block, crc), size + len(block)
        yield block
    for _rest in packed:
        pass  # to its end, so that what is encrypted is authenticated
    has_no_crc = entry.aes is not None and entry.aes.version == 2
    if (size - entry.size) & 0xFFFFFFFF or (crc != entry.crc and not has_no_crc):
        raise ZipDamaged("a member's checksum or size is wrong")


def decrypter_of(file: IO[bytes], entry: Entry, password: bytes) -> AesDecrypter | CryptoDecrypter:
    """Return what decrypts an encrypted member under a password that may fit; the file stands where it begins to."""
    file.seek(_begin(file, entry))
    header = file.read(_header_length(entry))
    if len(header) < _header_length(entry):
        raise ZipDamaged("a member is cut off")
    if entry.aes:
        return AesDecrypter(password, header, entry.aes.key_length)
    # Where the checksum was not known yet when the member was begun, its time stands in.
    return CryptoDecrypter(password, header, entry.time >> 8 if entry.flags & _SIZES_FOLLOW else entry.crc >> 24)


def _begin(file: IO[bytes], entry: Entry) -> int:
    """Return where a member's data begins. Raises ZipDamaged when its own header says another thing than the directory."""
    file.seek(entry.offset)
    header = file.read(LOCAL_HEADER.size)
    if len(header) < LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        raise ZipDamaged("a member is not where the list says")
    _mark, _needed, flags, method, _time, _date, crc, packed, size, name_length, extra_length = LOCAL_HEADER.unpack(header)  # fmt: skip
    name = file.read(name_length)
    size, packed, *_ = wide_fields(extra_fields(file.read(extra_length)), size, packed)
    said: tuple[Any, ...] = (name, method, flags & ENCRYPTED)
    listed: tuple[Any, ...] = (entry.stored_name, AES_METHOD if entry.aes else entry.method, entry.flags & ENCRYPTED)
    if not flags & _SIZES_FOLLOW:
        said = (*said, crc, packed & 0xFFFFFFFF, size & 0xFFFFFFFF)
        listed = (*listed, entry.crc, entry.packed & 0xFFFFFFFF, entry.size & 0xFFFFFFFF)
    if said != listed:
        raise ZipDamaged("a member's own header contradicts the list")
    begin: int = entry.offset + LOCAL_HEADER.size + name_length + extra_length
    if begin + entry.packed > entry.limit:
        raise ZipDamaged("its members overlap")
    return begin


def _clear(file: IO[bytes], entry: Entry) -> Iterator[bytes]:
    file.seek(_begin(file, entry))
    yield from _blocks(file, entry.packed)


def _decrypted(file: IO[bytes], entry: Entry, password: bytes) -> Iterator[bytes]:
    """Yield what is packed, decrypted. Raises OtherPassword, and ZipDamaged as far as the encryption tells."""
    decrypter = decrypter_of(file, entry, password)
    if not decrypter.fits:
        raise OtherPassword
    code_length = AesDecrypter.CODE_LENGTH if isinstance(decrypter, AesDecrypter) else 0
    for block in _blocks(file, entry.packed - _header_length(entry) - code_length):
        yield decrypter.decrypt(block)
    if isinstance(decrypter, AesDecrypter) and not decrypter.is_authentic(file.read(code_length)):
        raise ZipDamaged("what is encrypted was changed on its way: its authentication code is wrong")


def _header_length(entry: Entry) -> int:
    """Return the bytes of encryption before what is packed."""
    return AesDecrypter.header_length(entry.aes.key_length) if entry.aes else CryptoDecrypter.HEADER_LENGTH


def _blocks(file: IO[bytes], length: int) -> Iterator[bytes]:
    if length < 0:
        raise ZipDamaged("a member is shorter than its encryption")
    while length > 0:
        block = file.read(min(length, _BLOCK))
        if not block:
            raise ZipDamaged("a member is cut off")
        length -= len(block)
        yield block


def _stored(packed: Iterator[bytes]) -> Iterator[bytes]:
    return packed


def _deflated(packed: Iterator[bytes]) -> Iterator[bytes]:
    unpacker = zlib_ng.decompressobj(-zlib_ng.MAX_WBITS)
    for block in packed:
        for at in range(0, len(block), _DEFLATED):
            plain = unpacker.decompress(block[at : at + _DEFLATED], _BLOCK)
            while plain:
                yield plain
                plain = unpacker.decompress(unpacker.unconsumed_tail, _BLOCK)


def _deflated64(packed: Iterator[bytes]) -> Iterator[bytes]:
    unpacker = inflate64.Inflater()
    for block in packed:
        for at in range(0, len(block), _BLOCK64):
            if not unpacker.eof:
                yield unpacker.inflate(block[at : at + _BLOCK64])


def _by(unpacker: Any, packed: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack with an object of the standard library's kind, which is asked until it needs more."""
    for block in packed:
        rest = block
        while not unpacker.eof:
            yield unpacker.decompress(rest, _BLOCK)
            rest = b""
            if unpacker.needs_input:
                break


def _lzma(packed: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack LZMA; before its data stand a version, the length of its properties, and those (APPNOTE 5.8.8)."""
    block = next(packed, b"")
    (length,) = struct.unpack_from("<H", block, 2)
    if length != 5 or len(block) < 9:
        raise ZipDamaged("a member's LZMA properties are broken")
    bits, dictionary = struct.unpack_from("<BL", block, 4)
    literal_and_position, lc = divmod(bits, 9)
    pb, lp = divmod(literal_and_position, 5)
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": max(dictionary, 4096), "lc": lc, "lp": lp, "pb": pb}]
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)

    def rest() -> Iterator[bytes]:
        yield block[9:]
        yield from packed

    return _by(unpacker, rest())


def _method_name(method: int) -> str:
    return {1: "Shrink", 6: "Implode", 97: "WavPack", 98: "PPMd"}.get(method, f"method {method}")


_UNPACKERS: dict[int, Unpack] = {
    0: _stored,
    8: _deflated,
    9: _deflated64,
    12: lambda packed: _by(bz2.BZ2Decompressor(), packed),
    14: _lzma,
    93: lambda packed: _by(ZstdDecompressor(), packed),
    95: lambda packed: _by(lzma.LZMADecompressor(), packed),
}
