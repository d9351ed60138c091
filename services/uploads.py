"""Files that a browser brings: taken piece by piece, kept over every interruption, put in their place whole.

An upload that is not finished is a folder `UPLOADS_DIR/.incoming/<id>/`. When all has arrived, the file is renamed to
`UPLOADS_DIR/<batch>/<folders>/<name>`; the record stays a while for a client that missed the answer, or takes the
upload back. After that nothing here touches the file again. Nothing here knows HTTP.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from config.contract import Exit
from config.settings import Settings
from services.errors import ServiceError
from services.room import free_gigabytes
from services.upload_places import Announced, Checksum, Place, no_such_upload, too_large
from services.verified_copies import numbered

INCOMING = ".incoming"
_ID = re.compile(r"[0-9a-f]{32}")
_UNDER_WAY_SECONDS = 600.0
"""An upload that received something this lately is taken to need its room on the disk."""


@dataclass(frozen=True)
class Upload:
    """An upload as it is now: how many bytes have arrived; where the file is once it is whole, else when it expires."""

    id: str
    announced: Announced
    offset: int
    path: Path | None
    expires: datetime | None

    @property
    def input_path(self) -> Path | None:
        """What a run takes once it is there: the file, or the outermost folder that was dropped."""
        depth = len(self.announced.folders)
        return self.path.parents[depth - 1] if self.path and depth else self.path


class Uploads:
    """The uploads below UPLOADS_DIR. Any thread and any process may ask; every method raises ServiceError."""

    def __init__(self, settings: Settings) -> None:
        self._root = settings.uploads_dir
        self._incoming = settings.uploads_dir / INCOMING
        self._keep_seconds = settings.upload_keep_days * 86_400
        self._reserve_gb = settings.disk_reserve_gb
        self.largest = int(settings.upload_max_gb * 1e9)

    def create(self, announced: Announced) -> Upload:
        """Begin an upload; one of no bytes is finished at once. Removes what has expired.

        Raises upload_too_large, disk_full (it would not fit beside those under way), uploads_not_writable.
        """
        if announced.length > self.largest:
            message = f"{announced.name} has {announced.length / 1e9:.1f} GB."
            raise too_large(message, f"{self.largest / 1e9:g} GB are taken at most; UPLOAD_MAX_GB raises that.")
        upload_id = secrets.token_hex(16)
        with self._explained():
            self.sweep()
            self._require_room(announced.length + self._expected())
            self._place(upload_id).create(announced)
        return self.look(upload_id)

    def look(self, upload_id: str) -> Upload:
        """Return an upload as it is on the disk. Raises no_such_upload, upload_expired, uploads_not_writable.

        One that has arrived and is not in its place yet, because a kill came between, is put there; while that goes on
        upload_busy is raised.
        """
        upload = self._read(upload_id)
        if upload.path is None and upload.offset == upload.announced.length:
            with self._place(upload_id).alone():
                return self._finish(upload_id)
        return upload

    def all(self) -> list[Upload]:
        """Return every upload there is a record of, the one that changed last first."""
        folders = sorted(self._folders(), key=lambda folder: -Place(folder).changed())
        found = []
        for folder in folders:
            with suppress(ServiceError):  # it expired, or its file was taken away
                found.append(self._read(folder.name))
        return found

    def append(
        self, upload_id: str, offset: int, blocks: Iterable[bytes], size: int | None, checksum: Checksum | None = None
    ) -> Upload:
        """Add a piece of `size` bytes (None: not known) at `offset`; the last one finishes the upload.

        `blocks` may end early, when the client is gone: what came is kept, unless there is a checksum, which then
        cannot be right. Raises no_such_upload, upload_expired, upload_busy, wrong_offset, upload_too_large (more than
        was announced), wrong_checksum, disk_full, uploads_not_writable; then the offset is where it was, but for
        disk_full without a checksum, where it is behind the last byte that found room.
        """
        place = self._place(upload_id)
        with place.alone():
            upload = self._read(upload_id)
            if offset != upload.offset:
                message = f"The upload is at {upload.offset} bytes, not at {offset}."
                raise ServiceError("wrong_offset", message, "Ask for the offset, and go on from there.")
            room = upload.announced.length - offset
            if size is not None and size > room:
                raise too_large("More was sent than was announced.", "Announce the file's length in bytes.")
            if room:
                self._require_room(room if size is None else size)
                with self._explained():
                    place.receive(offset, room, blocks, checksum)
            return self._finish(upload_id)

    def remove(self, upload_id: str) -> Upload:
        """Take an upload back, whole or not, and return what it was: what has arrived is gone.

        Raises no_such_upload, upload_expired, upload_busy, uploads_not_writable.
        """
        place = self._place(upload_id)
        with place.alone(), self._explained():
            upload = self._read(upload_id)
            if upload.path:
                upload.path.unlink(missing_ok=True)
                self._remove_empty(upload.path.parent)
            place.discard()
        return upload

    def sweep(self) -> None:
        """Remove what nobody went on with for UPLOAD_KEEP_DAYS, and the records of uploads finished so long ago."""
        for folder in self._folders():
            place = Place(folder)
            if place.changed() + self._keep_seconds > time.time():
                continue
            if folder.name.startswith("."):  # begun to be removed, and not finished
                shutil.rmtree(folder, ignore_errors=True)
            else:
                with suppress(ServiceError, OSError), place.alone():
                    place.discard()

    def _remove_empty(self, folder: Path) -> None:
        with suppress(OSError):  # up to the first one that holds something
            while folder != self._root:
                folder.rmdir()
                folder = folder.parent

    def _read(self, upload_id: str) -> Upload:
        place = self._place(upload_id)
        arrived = place.arrived()  # looked at first: when it is gone, the record says where to
        announced, path = place.announced()
        if arrived is None:
            if path is None or not path.exists():
                raise no_such_upload()
            return Upload(upload_id, announced, announced.length, path, None)
        expires = arrived.at + self._keep_seconds
        if expires < time.time():
            message = "Nobody went on with this upload for too long, and it was given up."
            raise ServiceError("upload_expired", message, "Upload the file again from its beginning.", Exit.USAGE)
        return Upload(upload_id, announced, arrived.offset, None, datetime.fromtimestamp(expires, timezone.utc))

    def _finish(self, upload_id: str) -> Upload:
        """Put a file that has arrived in its place, under a name that nothing there has; for its only writer."""
        upload = self._read(upload_id)
        if upload.path is not None or upload.offset < upload.announced.length:
            return upload
        announced = upload.announced
        with self._explained(), self._naming():
            folder = self._root.joinpath(announced.batch, *announced.folders)
            folder.mkdir(parents=True, exist_ok=True)
            path = next(path for path in numbered(folder / announced.name) if not os.path.lexists(path))
            self._place(upload_id).move_to(path, announced)
        return self._read(upload_id)

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Be the only one who gives out names."""
        with (self._incoming / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _place(self, upload_id: str) -> Place:
        if not _ID.fullmatch(upload_id):
            raise no_such_upload()
        return Place(self._incoming / upload_id)

    def _folders(self) -> list[Path]:
        return [path for path in self._incoming.iterdir() if path.is_dir()] if self._incoming.is_dir() else []

    def _expected(self) -> int:
        """Return how many bytes of the uploads under way have yet to come."""
        expected = 0
        for folder in self._folders():
            with suppress(ServiceError):
                upload = self._read(folder.name)
                if Place(folder).changed() + _UNDER_WAY_SECONDS > time.time():
                    expected += upload.announced.length - upload.offset
        return expected

    def _require_room(self, needed: int) -> None:
        left_gb = free_gigabytes(self._root) - needed / 1e9
        if left_gb < self._reserve_gb:
            raise self._disk_full(f"{self._reserve_gb - left_gb:.1f} GB are missing")

    def _disk_full(self, reason: str) -> ServiceError:
        remedy = (
            f"Make room there ({self._reserve_gb:g} GB stay free, DISK_RESERVE_GB), then go on, or set UPLOADS_DIR."
        )
        return ServiceError("disk_full", f"The disk of {self._root} has no room for this upload: {reason}.", remedy)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._disk_full(str(error.strerror)) from None
            message = f"Uploads cannot be written to {self._root} ({error.strerror})."
            remedy = "Give the panel's user the right to write there, or set UPLOADS_DIR to another folder."
            raise ServiceError("uploads_not_writable", message, remedy) from None
