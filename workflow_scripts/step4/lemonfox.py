"""The Lemonfox speech-to-text API: one request for one sound, repeated where that can help.

https://www.lemonfox.ai/apis/speech-to-text. The key goes into the Authorization header and nowhere else: no message,
log line, exception or command line holds it.
"""

from __future__ import annotations

import email.utils
import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import httpx

from workflow_scripts.step4.chain import LinkFailed

log = logging.getLogger(__name__)

ADDRESS = "https://api.lemonfox.ai/v1"
EU_ADDRESS = "https://eu-api.lemonfox.ai/v1"
ATTEMPTS = 4
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
"""A server that asks for more is left: the next engine is faster."""
LARGEST_ANSWER = 64 << 20
"""Bytes: a word takes about 100 with its times, so this is some tens of hours of speech."""
_SHOWN = 200  # characters of a server's own words in a message


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


def transcribe(request: Request, sound: Path, *, pause: Callable[[float], None] = time.sleep) -> bytes:
    """Send a sound and return the body of the answer, unread.

    Busy and broken servers and connections are tried again, up to four times with doubled waits or those the server
    asks for. Raises LinkFailed with the reason; the key is not in it.
    """
    if not re.fullmatch(r"[!-~]+", request.key):
        raise LinkFailed("LEMONFOX_API_KEY holds characters that no key has")
    wait = FIRST_WAIT_S
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _attempt(request, sound)
        except _Retryable as failure:
            pending = wait if failure.wait_s is None else failure.wait_s
            if attempt == ATTEMPTS or pending > LONGEST_WAIT_S:
                raise LinkFailed(f"{failure} (attempt {attempt})") from None
            log.warning("Lemonfox: %s; attempt %d of %d in %.1f s", failure, attempt + 1, ATTEMPTS, pending)
        pause(pending)
        wait *= 2
    raise AssertionError("the last attempt returns or raises")


def _attempt(request: Request, sound: Path) -> bytes:
    """Make one request. Errors of httpx are named by their kind: their texts may quote a header."""
    try:
        with sound.open("rb") as file, httpx.Client(timeout=request.timeout_s) as client:
            return _post(client, request, (sound.name, file, "audio/flac"))
    except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
        raise LinkFailed(f"no answer within {request.timeout_s:g} s ({type(error).__name__})") from None
    except httpx.TransportError as error:
        raise _Retryable(f"the connection failed ({type(error).__name__})") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise LinkFailed(f"the request failed ({type(error).__name__})") from None


def _post(client: httpx.Client, request: Request, file: tuple[str, object, str]) -> bytes:
    deadline = time.monotonic() + request.timeout_s
    url = f"{request.address.rstrip('/')}/audio/transcriptions"
    headers = {"Authorization": f"Bearer {request.key}"}
    with client.stream("POST", url, headers=headers, data=request.fields, files={"file": file}) as response:  # type: ignore[dict-item]
        body = _body(response, deadline)
        if response.status_code != httpx.codes.OK:
            raise _refusal(response, _shown(body, request.key))
        return body


def _body(response: httpx.Response, deadline: float) -> bytes:
    """Read an answer that ends in time and is not endless."""
    body = bytearray()
    for block in response.iter_bytes():
        body += block
        if len(body) > LARGEST_ANSWER:
            raise LinkFailed(f"the answer is larger than {LARGEST_ANSWER >> 20} MiB")
        if time.monotonic() > deadline:
            raise LinkFailed("the answer did not end in time")
    return bytes(body)


def _refusal(response: httpx.Response, said: str) -> Exception:
    code = response.status_code
    reason = f"HTTP {code}: {said}" if said else f"HTTP {code}"
    if code in (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS) or response.is_server_error:
        return _Retryable(reason, _retry_after(response.headers.get("Retry-After")))
    return LinkFailed(reason)


def _retry_after(header: str | None) -> float | None:
    """Return the seconds that a Retry-After header (RFC 9110, 10.2.3: seconds or a date) asks for, if it makes sense."""
    if header is None:
        return None
    if header.strip().isascii() and header.strip().isdigit():
        return float(header)
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())


def _shown(body: bytes, key: str) -> str:
    """Return the beginning of what a server said, as one line without the key."""
    text = body.decode("utf-8", "replace").replace(key, "***")
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:_SHOWN]


def fields_of(
    *,
    language: str | None,
    prompt: str | None,
    speaker_labels: bool,
    speakers: tuple[int | None, int | None],
    granularities: tuple[str, ...],
) -> dict[str, str | list[str]]:
    """Return the multipart fields of a request; `speakers` are the fewest and the most expected."""

    def given() -> Iterator[tuple[str, str | list[str]]]:
        yield "response_format", "verbose_json"
        yield "speaker_labels", "true" if speaker_labels else "false"
        named = {"language": language, "prompt": prompt}
        if speaker_labels:
            named |= {"min_speakers": speakers[0], "max_speakers": speakers[1]}  # type: ignore[dict-item]
        yield from ((name, str(value)) for name, value in named.items() if value is not None)
        if granularities:
            yield "timestamp_granularities[]", list(granularities)

    return dict(given())
