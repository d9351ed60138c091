"""What is done to picture and sound on the way to a proxy: codecs, fields, depth, range, alpha, HDR, tracks, holes."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import jsonschema
import numpy as np
import pytest

from tests.steps.step2.clips import ffmpeg, numbers_in, picture, switches_in, times_at, wave_of, write_clip
from tests.steps.step2.conftest import endings, facts_of, run_step2
from tests.steps.step2.test_sources import schema

F = Fraction
Step2 = Callable[..., tuple[int, list[dict[str, Any]]]]
PQ = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"]
HLG = ["-color_primaries", "bt2020", "-color_trc", "arib-std-b67", "-colorspace", "bt2020nc"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:lossless=1"]

CODECS = {  # how ffmpeg makes each, and the codec and pixel format that the facts have to name
    "prores.mov": (["-c:v", "prores_ks", "-profile:v", "3", "-c:a", "pcm_s24le"], "prores", "yuv422p10le"),
    "dnxhr.mov": (["-c:v", "dnxhd", "-profile:v", "dnxhr_hqx", "-pix_fmt", "yuv422p10le", "-vf", "scale=256:128:flags=neighbor"], "dnxhd", "yuv422p10le"),
    "programme.mpg": (["-c:v", "mpeg2video", "-bf", "2", "-q:v", "2", "-c:a", "mp2"], "mpeg2video", "yuv420p"),
    "broadcast.mxf": (["-c:v", "mpeg2video", "-bf", "2", "-q:v", "2", "-pix_fmt", "yuv422p", "-c:a", "pcm_s16le"], "mpeg2video", "yuv422p"),
    "mjpeg.mov": (["-c:v", "mjpeg", "-q:v", "2", "-c:a", "pcm_s16le"], "mjpeg", "yuvj420p"),
    "vp9.webm": (["-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libopus"], "vp9", "yuv420p"),
    "av1.mkv": (["-c:v", "libsvtav1", "-preset", "12", "-crf", "20", "-c:a", "libvorbis"], "av1", "yuv420p"),
    "hevc.mov": ([*X265, "-pix_fmt", "yuv422p10le", "-tag:v", "hvc1", "-c:a", "aac"], "hevc", "yuv422p10le"),
    "h264 ten bits.mp4": (["-c:v", "libx264", "-pix_fmt", "yuv422p10le", "-c:a", "ac3"], "h264", "yuv422p10le"),
    "graphics.mov": (["-c:v", "png", "-c:a", "pcm_s16le"], "png", "rgb24"),
    "raw.mov": (["-c:v", "rawvideo", "-pix_fmt", "uyvy422", "-c:a", "pcm_s16le"], "rawvideo", "uyvy422"),
    "windows.wmv": (["-c:v", "wmv2", "-q:v", "2", "-c:a", "wmav2"], "wmv2", "yuv420p"),
    "flash.flv": (["-c:v", "flv1", "-q:v", "2", "-ar", "44100", "-c:a", "libmp3lame"], "flv1", "yuv420p"),
    # Containers that have an order of frames and no time stamps; with B-frames decoders hold some back.
    "order.avi": (["-c:v", "libx264", "-g", "12", "-c:a", "pcm_s16le"], "h264", "yuv420p"),
    "older.avi": (["-c:v", "mpeg4", "-bf", "2", "-q:v", "2", "-c:a", "pcm_s16le"], "mpeg4", "yuv420p"),
    "bare.m2v": (["-an", "-c:v", "mpeg2video", "-bf", "2", "-q:v", "2"], "mpeg2video", "yuv420p"),
}  # fmt: skip


@pytest.fixture(scope="module")
def codecs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codecs")
    project = folder / "projets_extraits" / "codecs"
    project.mkdir(parents=True)
    tone = (F(0), F(1, 2), F(1), F(6, 5))
    plain = write_clip(folder / "plain.mkv", times_at(F(25), 30), F(1, 1000), codec="ffv1", audio_codec="pcm_s16le", tone=tone)  # fmt: skip
    for name, (options, _codec, _format) in CODECS.items():
        ffmpeg("-i", str(plain), *options, str(project / name))
    code, events = run_step2(folder)
    assert (code, set(endings(events).values())) == (0, {("done", None)})
    return project


@pytest.mark.parametrize("name", CODECS)
def test_every_codec_becomes_a_proxy_frame_by_frame(name: str, codecs: Path) -> None:
    _options, codec, pixel_format = CODECS[name]
    facts = facts_of(codecs, Path(name).stem)
    jsonschema.validate(facts, schema())
    assert facts["warnings"] == []
    assert (facts["original"]["video"]["codec"], facts["original"]["video"]["pixel_format"]) == (codec, pixel_format)
    assert facts["proxy"]["method"] == "encoded"
    proxy = codecs / "docs" / f"{Path(name).stem}.mp4"
    assert numbers_in(proxy) == list(range(30))
    with av.open(str(proxy)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert bool(container.streams.audio) == facts["proxy"]["has_audio"] == ("-an" not in _options)
    if facts["proxy"]["has_audio"]:
        assert switches_in(proxy) == pytest.approx([0.5, 1.0], abs=0.010)


def fields(path: Path, first: str, *, codec: str, options: list[str]) -> Path:
    """Make frames of two fields each: the one shown first has the number 2n, the other 2n + 1."""
    double = write_clip(path.with_suffix(".double.mkv"), times_at(F(50), 60), F(1, 1000), codec="ffv1")
    order = {"top": "interleave_top", "bottom": "interleave_bottom"}[first]
    if codec == "libx264":  # ffmpeg alone tells it the order from the second frame on
        options = [*options, "-x264-params", "tff=1" if first == "top" else "bff=1"]
    ffmpeg("-i", str(double), "-vf", f"tinterlace=mode={order},setfield={'tff' if first == 'top' else 'bff'},settb=1/25,setpts=N,fps=25", "-c:v", codec, *options, str(path))  # fmt: skip
    double.unlink()
    return path


FIELDS = {
    "mbaff": ("mp4", "libx264", ["-flags", "+ilme+ildct"]),
    "xdcam": ("mxf", "mpeg2video", ["-flags", "+ilme+ildct", "-q:v", "2"]),
    "prores": ("mov", "prores_ks", ["-flags", "+ildct"]),
    "raw": ("mov", "rawvideo", ["-pix_fmt", "uyvy422"]),
}


@pytest.mark.parametrize("first", ["top", "bottom"])
def test_of_two_fields_the_first_is_shown(first: str, project: Path, step2: Step2) -> None:
    for name, (suffix, codec, options) in FIELDS.items():
        fields(project / f"{name}.{suffix}", first, codec=codec, options=options)

    assert step2()[0] == 0

    for name in FIELDS:
        facts = facts_of(project, name)
        assert facts["original"]["video"]["interlaced"], name
        assert facts["proxy"]["treatment"] == ["deinterlaced"], name
        proxy = project / "docs" / f"{name}.mp4"
        # Read from a line of the first field: the others are made up, from the fields before and after as well.
        assert numbers_in(proxy, below=0 if first == "top" else 1) == list(range(0, 60, 2)), name
        with av.open(str(proxy)) as container:
            assert not any(frame.interlaced_frame for frame in container.decode(video=0))


def test_fields_that_come_later_are_found_too(project: Path, step2: Step2) -> None:
    """A stream that begins with whole frames: only its later frames say that they are interlaced."""
    whole = write_clip(project / "a.ts", times_at(F(25), 25), F(1, 90_000), options={"bf": "0"})
    later = fields(project / "b.ts", "top", codec="libx264", options=["-flags", "+ilme+ildct", "-bf", "0"])
    (project / "both.ts").write_bytes(whole.read_bytes() + later.read_bytes())
    whole.unlink()
    later.unlink()

    step2()

    assert numbers_in(project / "docs" / "both.mp4")[-20:] == list(range(60 - 40, 60, 2))


def grey_of(proxy: Path) -> tuple[float, Any]:
    """The mean luma of a proxy's first frame, from 0 (black) to 1, and its stream's colour tags."""
    with av.open(str(proxy)) as container:
        context = container.streams.video[0].codec_context
        frame = next(container.decode(video=0))
        mean = float(frame.to_ndarray()[: frame.height].mean())
        return (mean - 16) / 219, (context.color_primaries, context.color_trc, context.colorspace)


def test_colour_is_said_as_it_is(project: Path, step2: Step2) -> None:
    """Graphics and HDR become BT.709; what is transparent lies over black; what a source says of itself is kept."""
    grey = "color=gray:s=64x64:r=25:d=0.2"
    # PQ's code 0.58 is 203 cd/m²: white paper in HDR, on 1 of 10 bits (64 + 0.58 * 876 = 572).
    for name, colour in (("pq", PQ), ("hlg", HLG)):
        tags = ":".join(("colorprim=bt2020", f"transfer={colour[3]}", "colormatrix=bt2020nc"))
        ffmpeg("-f", "lavfi", "-i", "color=black:s=64x64:r=25:d=0.2,format=yuv420p10le,lutyuv=y=572:u=512:v=512", *X265[:-1], f"log-level=none:lossless=1:{tags}", *colour, str(project / f"{name}.mkv"))  # fmt: skip
    ffmpeg("-f", "lavfi", "-i", f"{grey},format=rgb24", "-c:v", "png", str(project / "graphics.mov"))
    ffmpeg("-f", "lavfi", "-i", "color=white:s=64x64:r=25:d=0.2,format=argb,colorchannelmixer=aa=0.5", "-c:v", "qtrle", str(project / "veil.mov"))  # fmt: skip
    ffmpeg("-f", "lavfi", "-i", f"{grey},setparams=color_primaries=bt470bg:color_trc=smpte170m:colorspace=smpte170m", "-c:v", "prores_ks", str(project / "pal.mov"))  # fmt: skip

    code, events = step2()

    assert (code, set(endings(events).values())) == (0, {("done", None)})
    proxies = {path.stem: grey_of(path) for path in (project / "docs").glob("*.mp4")}
    assert {name: colour for name, (_grey, colour) in proxies.items()} == {
        "pq": (1, 1, 1), "hlg": (1, 1, 1), "graphics": (1, 1, 1), "veil": (1, 1, 1), "pal": (5, 6, 6),
    }  # fmt: skip
    assert 0.45 < proxies["pq"][0] < 0.75  # untouched it would be 0.58 too, but see the highlights:
    assert proxies["graphics"][0] == pytest.approx(0.5, abs=0.01)
    assert proxies["veil"][0] == pytest.approx(0.5, abs=0.01)
    treatments = {name: facts_of(project, name)["proxy"]["treatment"] for name in proxies}
    assert treatments == {"pq": ["tone_mapped"], "hlg": ["tone_mapped"], "graphics": [], "veil": ["over_black"], "pal": []}  # fmt: skip


SOUNDS = {  # how the sound is made of two mono tones, left 500 Hz and right 2000 Hz; and what each side has to be
    "mono": (["-map", "1"], 1, (500, None)),
    "stereo": (["-filter_complex", "[1][2]join=inputs=2:channel_layout=stereo[a]", "-map", "[a]"], 2, (500, 2000)),
    "two tracks": (["-map", "1", "-map", "2"], 2, (500, 2000)),
    "four tracks": (["-map", "1", "-map", "2", "-map", "1", "-map", "1"], 2, (500, 2000)),
    "default track": (["-map", "1", "-map", "2", "-disposition:a:0", "0", "-disposition:a:1", "default"], 1, (2000, None)),
    "surround": (["-filter_complex", "[1][2]join=inputs=2:channel_layout=stereo,pan=5.1|FL=FL|FR=FR[a]", "-map", "[a]"], 2, (500, 2000)),
}  # fmt: skip


def test_the_tracks_a_cutting_room_expects(project: Path, step2: Step2) -> None:
    for name, (options, _channels, _tones) in SOUNDS.items():
        ffmpeg(
            "-f", "lavfi", "-i", "testsrc2=s=64x64:r=25:d=1", "-f", "lavfi", "-i", "sine=500:r=48000:d=1",
            "-f", "lavfi", "-i", "sine=2000:r=48000:d=1", "-map", "0", *options, "-c:v", "ffv1", "-c:a", "pcm_s16le",
            str(project / f"{name}.mkv"),
        )  # fmt: skip

    assert step2()[0] == 0

    for name, (_options, channels, tones) in SOUNDS.items():
        with av.open(str(project / "docs" / f"{name}.mp4")) as container:
            assert container.streams.audio[0].codec_context.layout.nb_channels == channels, name
            sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
        assert [loudest(side) for side in sound] == [pytest.approx(tone, abs=5) for tone in tones if tone], name
    assert facts_of(project, "four tracks")["original"]["audio"]["tracks"] == [1, 2]
    assert facts_of(project, "default track")["original"]["audio"]["tracks"] == [2]


def loudest(wave: np.ndarray) -> float:
    """The frequency that is loudest, in Hz."""
    return float(np.argmax(np.abs(np.fft.rfft(wave[:48_000]))) * 48_000 / min(len(wave), 48_000))


@pytest.mark.parametrize("end", [F(1), F(4)])
def test_sound_of_another_length_keeps_it(end: Fraction, project: Path, step2: Step2) -> None:
    tone = (F(0), F(1, 2), end)
    write_clip(project / "clip.mov", times_at(F(24), 48), F(1, 24), tone=tone, audio_codec="pcm_s16le")

    assert step2()[0] == 0

    with av.open(str(project / "docs" / "clip.mp4")) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) / 48_000 == pytest.approx(float(end), abs=0.03)
    assert facts_of(project, "clip")["proxy"]["frames"] == 50


@pytest.mark.parametrize(("slower", "hole"), [(F(1), F(60, 1000)), (F(201, 200), F(0))])
def test_sound_is_held_to_its_time_stamps(slower: Fraction, hole: Fraction, project: Path, step2: Step2) -> None:
    """A lost packet, and a clock that is half a hundredth slow: what comes after stays with its picture."""
    switches = (F(1), F(2), F(4), F(11, 2))
    path = project / "clip.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=10)
        video.width, video.height, video.pix_fmt = 128, 64, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=48000, layout="mono")
        for number in range(60):
            frame = picture(number)
            frame.pts, frame.time_base = number, F(1, 10)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        wave = (wave_of(F(0), [switch / slower for switch in switches], 6 / slower) * 32_767).astype(np.int16)
        for first in range(0, len(wave), 480):
            if not F(1, 2) <= F(first, 48_000) < F(1, 2) + hole:
                packet = av.Packet(wave[first : first + 480].tobytes())
                packet.stream, packet.time_base = sound, F(1, 48_000)
                packet.pts = packet.dts = round(first * slower)
                container.mux(packet)

    assert step2()[0] == 0

    found = switches_in(project / "docs" / "clip.mp4")
    assert found == pytest.approx([float(switch) for switch in switches], abs=0.012)
