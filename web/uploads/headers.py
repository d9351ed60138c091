"""What the headers of a tus request say, read strictly: https://tus.io/protocols/resumable-upload. Pure.

Every function raises ServiceError for a header that is not what the protocol allows.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from werkzeug.datastructures import Headers

from config.contract import Exit
from services.errors import ServiceError
from services.upload_names import batch_name, file_name, folder_path
from services.upload_places import CHECKSUMS, Announced, Checksum

_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}")
_KEY = re.compile(r"[!-+\--~]+")
"""Printable ASCII without space and comma."""


def whole_number(headers: Headers, name: str) -> int:
    """Return the number of bytes that a header gives: digits and nothing else."""
    text = headers.get(name, "")
    if not _WHOLE_NUMBER.fullmatch(text):
        raise _wrong(f"{name} is a whole number of bytes, not “{text[:40]}”.")
    return int(text)


def announced(headers: Headers, today: str) -> Announced:
    """Return what a creation announces; a file that names no batch belongs to `today`'s.

    The metadata that counts: `filename`, `folder` (the folders it stood in, with slashes), `batch` (a plain word: what
    belongs together).
    """
    for name in ("Upload-Defer-Length", "Upload-Concat"):
        if name in headers:
            raise _wrong(f"{name} is of an extension that is not offered here.")
    told = metadata(headers.get("Upload-Metadata", ""))
    return Announced(
        length=whole_number(headers, "Upload-Length"),
        name=file_name(told.get("filename", "")),
        folders=folder_path(told.get("folder", "")),
        batch=batch_name(told["batch"]) if told.get("batch") else today,
        metadata=headers.get("Upload-Metadata", ""),
    )


def metadata(text: str) -> dict[str, str]:
    """Return the pairs of an Upload-Metadata header: keys that differ, values in Base64 that are UTF-8."""
    pairs: dict[str, str] = {}
    for part in text.split(",") if text.strip() else []:
        key, _space, value = part.strip().partition(" ")
        if not _KEY.fullmatch(key) or key in pairs:
            raise _wrong(f"Upload-Metadata has an empty, odd or repeated key: “{key[:40]}”.")
        try:
            pairs[key] = _from_base64(value).decode()
        except ValueError:
            raise _wrong(f"Upload-Metadata: the value of {key[:40]} is no UTF-8 in Base64.") from None
    return pairs


def checksum(headers: Headers) -> Checksum | None:
    """Return what the body must hash to, where the client says so."""
    text = headers.get("Upload-Checksum")
    if text is None:
        return None
    algorithm, _space, value = text.partition(" ")
    if algorithm not in CHECKSUMS:
        raise _wrong(f"Upload-Checksum: {algorithm[:40]} is not offered, {' and '.join(CHECKSUMS)} are.")
    try:
        digest = _from_base64(value)
    except ValueError:
        digest = b""
    if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise _wrong(f"Upload-Checksum holds no {algorithm} in Base64.")
    return Checksum(algorithm, digest)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def _wrong(message: str) -> ServiceError:
    remedy = "Send what tus 1.0.0 says: https://tus.io/protocols/resumable-upload."
    return ServiceError("wrong_header", message, remedy, Exit.USAGE)
