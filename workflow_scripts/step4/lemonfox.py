"""The Lemonfox speech-to-text API: one request for one file, repeated where that can help.

https://www.lemonfox.ai/apis/speech-to-text. The key goes into the Authorization header and nowhere else: no message,
log line, exception, answer or command line holds it. Its `callback_url` is not used: it would have Lemonfox call this
machine from outside, and an answer that came after the step had ended would find nobody.
"""

from __future__ import annotations

import asyncio
import email.utils
import logging
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

import httpx

from workflow_scripts.step4.chain import LinkFailed

log = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses, and one may hold a password

ADDRESS = "https://api.lemonfox.ai/v1"
EU_ADDRESS = "https://eu-api.lemonfox.ai/v1"
ATTEMPTS = 5
FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 300.0
"""A server that asks for more is left: the next engine is faster."""
CONNECT_S = 20.0
TICK_S = 1.0
"""How often it is told that an answer is still waited for."""
LARGEST_ANSWER = 64 << 20
"""Bytes: a word takes about 100 with its times, so this is some tens of hours of speech."""
_LARGEST_COMPLAINT = 1 << 16
_SHOWN = 200  # characters of a server's own words in a message
_SHORTEST_SECRET = 8  # letters: a shorter "key" is part of any text
_HINTS = {
    401: "is LEMONFOX_API_KEY right?",
    402: "look at the account at lemonfox.ai",
    403: "is LEMONFOX_API_KEY right?",
    413: "lower LEMONFOX_MAX_UPLOAD_MB",
}

Waiting = Callable[[int, float], None]
"""Is told how many bytes of the file were taken to be sent, and how many seconds have passed."""


@dataclass(frozen=True)
class Request:
    """What is asked, and of whom. `fields` are the multipart fields beside the file."""

    address: str
    key: str = field(repr=False)
    timeout_s: float
    fields: dict[str, str | list[str]]


class _Retryable(Exception):
    """This attempt failed, the next one may not; `wait_s` is what the server asked for."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


def transcribe(
    request: Request, sound: Path, media_type: str, on_wait: Waiting, *, pause: Callable[[float], None] = time.sleep
) -> bytes:
    """Send a file and return the body of the answer, unread and without the key.

    An attempt takes `timeout_s` at most, from the connection to the end of the answer. Busy and broken servers and
    connections are tried again, up to five times in all, with doubled waits or those the server asks for; a refusal and
    an answer that does not come in time are not. Raises LinkFailed with the reason.
    """
    if not re.fullmatch(r"[!-~]+", request.key):
        raise LinkFailed("LEMONFOX_API_KEY holds characters that no key has")
    wait = FIRST_WAIT_S
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _attempt(request, sound, media_type, on_wait)
        except _Retryable as failure:
            # Clips that were turned away together do not come back together.
            pending = wait * random.uniform(1, 1.25) if failure.wait_s is None else failure.wait_s
            if attempt == ATTEMPTS or pending > LONGEST_WAIT_S:
                asked = f", which asks to wait {pending:.0f} s" if pending > LONGEST_WAIT_S else ""
                raise LinkFailed(f"{failure}{asked} (attempt {attempt})") from None
            log.warning("Lemonfox: %s; attempt %d of %d in %.1f s", failure, attempt + 1, ATTEMPTS, pending)
        pause(pending)
        wait *= 2
    raise AssertionError("the last attempt returns or raises")


def _attempt(request: Request, sound: Path, media_type: str, on_wait: Waiting) -> bytes:
    """Make one request. Errors of httpx are named by their kind: their texts may quote a header."""
    try:
        return asyncio.run(_in_time(request, sound, media_type, on_wait))
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise LinkFailed(f"LEMONFOX_BASE_URL is no address of a server ({type(error).__name__})") from None
    except httpx.TransportError as error:
        raise _Retryable(f"the connection failed ({type(error).__name__})") from None
    except httpx.HTTPError as error:
        raise LinkFailed(f"the request failed ({type(error).__name__})") from None


async def _in_time(request: Request, sound: Path, media_type: str, on_wait: Waiting) -> bytes:
    """Ask, and tell while it is waited for. Asynchronous so that nothing, however slow, outlasts the time there is."""
    begun = time.monotonic()
    with sound.open("rb") as file:
        asking = asyncio.ensure_future(_post(request, (sound.name, file, media_type)))
        try:
            while not asking.done():
                passed = time.monotonic() - begun
                if passed >= request.timeout_s:
                    raise LinkFailed(_late(request, sound, file.tell()))
                on_wait(file.tell(), passed)
                await asyncio.wait({asking}, timeout=min(TICK_S, request.timeout_s - passed))
            return asking.result()
        finally:
            asking.cancel()


def _late(request: Request, sound: Path, sent: int) -> str:
    megabytes = f"{sent / 1e6:.1f} of {sound.stat().st_size / 1e6:.1f} MB"
    return f"no answer within LEMONFOX_TIMEOUT_SEC={request.timeout_s:g}, {megabytes} were sent"


async def _post(request: Request, file: tuple[str, BinaryIO, str]) -> bytes:
    url = f"{request.address.rstrip('/')}/audio/transcriptions"
    headers = {"Authorization": f"Bearer {request.key}"}
    async with (
        httpx.AsyncClient(timeout=httpx.Timeout(None, connect=CONNECT_S)) as client,
        client.stream("POST", url, headers=headers, data=request.fields, files={"file": file}) as response,
    ):
        if response.status_code != httpx.codes.OK:
            raise _refusal(response, _shown(await _complaint(response), request.key))
        return _without(await _body(response), request.key)


async def _body(response: httpx.Response) -> bytes:
    """Read an answer that is not endless."""
    body = bytearray()
    async for block in response.aiter_bytes():
        body += block
        if len(body) > LARGEST_ANSWER:
            raise LinkFailed(f"the answer is larger than {LARGEST_ANSWER >> 20} MiB")
    return bytes(body)


async def _complaint(response: httpx.Response) -> bytes:
    """Return the beginning of what a server says of an error, as far as it comes: the status is known without it."""
    body = bytearray()
    try:
        async for block in response.aiter_bytes():
            body += block
            if len(body) > _LARGEST_COMPLAINT:
                break
    except httpx.RequestError:
        pass
    return bytes(body)


def _refusal(response: httpx.Response, said: str) -> Exception:
    code = response.status_code
    reason = f"HTTP {code}: {said}" if said else f"HTTP {code}"
    if code in (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS) or response.is_server_error:
        return _Retryable(reason, _retry_after(response.headers.get("Retry-After")))
    return LinkFailed(f"{reason} ({_HINTS[code]})" if code in _HINTS else reason)


def _retry_after(header: str | None) -> float | None:
    """Return the seconds that a Retry-After header (RFC 9110, 10.2.3: seconds or a date) asks for, if it makes sense."""
    if header is None:
        return None
    if header.strip().isascii() and header.strip().isdigit():
        return float(header)
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())


def _without(body: bytes, key: str) -> bytes:
    """Return a body in which a server repeats no key."""
    return body.replace(key.encode("ascii"), b"***") if len(key) >= _SHORTEST_SECRET else body


def _shown(body: bytes, key: str) -> str:
    """Return the beginning of what a server said, as one line without the key."""
    text = body.decode("utf-8", "replace").replace(key, "***")
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:_SHOWN]


def fields_of(
    *,
    language: str | None,
    prompt: str | None,
    translate: bool,
    speaker_labels: bool,
    speakers: tuple[int | None, int | None],
    granularities: tuple[str, ...],
) -> dict[str, str | list[str]]:
    """Return the multipart fields of a request; `speakers` are the fewest and the most expected."""

    def given() -> Iterator[tuple[str, str | list[str]]]:
        yield "response_format", "verbose_json"
        yield "speaker_labels", "true" if speaker_labels else "false"
        named = {"language": language, "prompt": prompt, "translate": "true" if translate else None}
        if speaker_labels:
            named |= {"min_speakers": speakers[0], "max_speakers": speakers[1]}  # type: ignore[dict-item]
        yield from ((name, str(value)) for name, value in named.items() if value is not None)
        if granularities:
            yield "timestamp_granularities[]", list(granularities)

    return dict(given())
