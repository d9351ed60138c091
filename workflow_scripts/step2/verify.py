"""The proof that a proxy is what it has to be, before it takes its place. Its packets are read, nothing is decoded."""

from __future__ import annotations

from pathlib import Path

import av

from workflow_scripts.step2.frame_map import PROXY_RATE
from workflow_scripts.step2.plan import Plan
from workflow_scripts.stepkit.errors import ItemError
from workflow_scripts.stepkit.media import input_url


def verify(proxy: Path, plan: Plan) -> bool:
    """Check a proxy's codec, size, frame count and constant pace; returns whether it has sound.

    Raises ItemError that says what is wrong.
    """
    with av.open(input_url(proxy)) as container:
        video = container.streams.video[0]
        context = video.codec_context
        found = (context.name, context.pix_fmt, context.width, context.height)
        stamps = sorted(
            packet.pts for packet in container.demux(video) if packet.pts is not None and not packet.is_discard
        )
        time_base, sounds = video.time_base, bool(container.streams.audio)
    wanted = ("h264", "yuv420p", plan.width, plan.height)
    if found != wanted:
        raise _wrong(f"it is {found}, not {wanted}")
    if len(stamps) != plan.frames:
        raise _wrong(f"it has {len(stamps)} frames, not {plan.frames}")
    if time_base is None or any(PROXY_RATE * (pts - stamps[0]) * time_base != n for n, pts in enumerate(stamps)):
        raise _wrong("its frames are not 1/25 s apart")
    return sounds


def _wrong(what: str) -> ItemError:
    return ItemError("proxy_wrong", f"The proxy that was made is refused: {what}.", "Please report it with the log; the original is untouched.")  # fmt: skip
