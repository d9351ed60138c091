"""Archives of every kind, good and hostile, made when a test needs them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import py7zr
from backports import zstd

FILE, LINK, HARDLINK, FIFO, DEVICE = "file", "link", "hardlink", "fifo", "device"

Entry = tuple[str, bytes, str]
"""Name, content (of a link: where it points), kind."""

_ZIP_MODES = {
    FILE: stat.S_IFREG | 0o644,
    LINK: stat.S_IFLNK | 0o777,
    FIFO: stat.S_IFIFO | 0o644,
    DEVICE: stat.S_IFBLK | 0o644,
}
_TAR_TYPES = {FILE: tarfile.REGTYPE, LINK: tarfile.SYMTYPE, HARDLINK: tarfile.LNKTYPE, FIFO: tarfile.FIFOTYPE, DEVICE: tarfile.BLKTYPE}  # fmt: skip
GOOD = [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z"]


def pack(path: Path, entries: Iterable[Entry]) -> Path:
    if path.name.endswith(".zip"):
        _zip(path, entries)
    elif path.name.endswith(".7z"):
        _7z(path, entries)
    else:
        path.write_bytes(_compressed(path.name, _tar(entries)))
    return path


def files(contents: dict[str, bytes]) -> list[Entry]:
    return [(name, content, FILE) for name, content in contents.items()]


def _zip(path: Path, entries: Iterable[Entry]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, kind in entries:
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name  # the constructor would cut it at a NUL
            info.external_attr = _ZIP_MODES[kind] << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)


def _tar(entries: Iterable[Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content, kind in entries:
            info = tarfile.TarInfo(name)
            info.type = _TAR_TYPES[kind]
            info.mode = 0o6777
            if kind == FILE:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.linkname = content.decode()
                archive.addfile(info)
    return buffer.getvalue()


def _compressed(name: str, plain: bytes) -> bytes:
    packers = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": _zstd}
    return packers.get(Path(name).suffix, bytes)(plain)


def _zstd(plain: bytes) -> bytes:
    return zstd.compress(plain, options={zstd.CompressionParameter.checksum_flag: 1})  # as the zstd program does


def _7z(path: Path, entries: Iterable[Entry]) -> None:
    with py7zr.SevenZipFile(path, "w") as archive:
        for name, content, kind in entries:
            # py7zr makes names harmless when it writes: a hostile one has to be put in behind its back.
            archive.writestr(content, "x")
            made = archive.header.files_info.files[-1]
            made["filename"] = name
            if kind != FILE:
                made["attributes"] = 0x8000 | (_ZIP_MODES[kind] << 16)
