#!/usr/bin/env python3
"""Fuzz what STEP1 lets in: the policy over names, the readers over archives of every kind, with Atheris (libFuzzer).

envs/env/bin/python tests/fuzz.py --seconds 60                     every target, one after the other, a minute in all
envs/env/bin/python tests/fuzz.py --target zip --input FILE        once, with what a finding left

A finding is anything but a project or an error with a remedy: another exception, a file outside its folder, a link, a name
that some system cannot open, more bytes than may be, a hang, memory without end. It is printed, and its input is kept.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import stat
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(REPOSITORY)

TARGETS = ("policy", "names", "zip", "tar", "7z", "rar")
_LIBRARIES = ["workflow_scripts.step1", "zipfile", "tarfile", "py7zr", "rarfile"]
_MOST_BYTES = 4 << 20
_SECONDS_EACH = 10
"""What one input may take before it counts as a hang."""
_MEGABYTES = 2048


def main() -> int:
    """Fuzz; returns 1 when something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="for all targets together (default: 60)")
    parser.add_argument("--target", choices=TARGETS, help="only this one")
    parser.add_argument("--input", type=Path, metavar="FILE", help="try this one input and stop")
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.corpus:
        _fuzz(arguments.target, arguments.corpus, round(arguments.seconds))
    if arguments.input:
        checks()[arguments.target](arguments.input.read_bytes())
        return 0
    chosen = [arguments.target] if arguments.target else TARGETS
    seconds = max(1.0, arguments.seconds / len(chosen))
    found = [target for target in chosen if not _ran_clean(target, seconds)]
    print(f"Fuzzed {', '.join(chosen)}: {'found something in ' + ', '.join(found) if found else 'nothing found'}.")
    return 1 if found else 0


def _ran_clean(target: str, seconds: float) -> bool:
    """Fuzz one target in a process of its own, which a finding ends."""
    with tempfile.TemporaryDirectory(prefix="derush-fuzz-") as place:
        corpus = Path(place) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(seeds(target)):
            (corpus / str(number)).write_bytes(seed)
        command = [sys.executable, __file__, "--target", target, "--seconds", str(seconds), "--corpus", str(corpus)]
        ended = subprocess.run(
            command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        told = ended.stdout.splitlines()
        print(
            f"== {target}: {next((line for line in reversed(told) if 'DONE' in line or 'Done' in line), 'ended early')}"
        )
        if ended.returncode == 0:
            return True
        print("\n".join(told[-40:]))
        for left in (*Path(place).glob("crash-*"), *Path(place).glob("timeout-*"), *Path(place).glob("oom-*")):
            kept = Path(tempfile.gettempdir()) / f"derush-{target}-{left.name}"
            shutil.copy(left, kept)
            print(f"Kept: {kept}. Again: {sys.executable} {__file__} --target {target} --input {kept}")
        return False


def _fuzz(target: str, corpus: Path, seconds: int) -> None:
    """Fuzz until the time is over or something is found; never returns."""
    import atheris

    with atheris.instrument_imports(include=_LIBRARIES, enable_loader_override=False):
        check = checks()[target]
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={_SECONDS_EACH}",
        f"-rss_limit_mb={_MEGABYTES}",
        "-max_len=8192",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], check)
    atheris.Fuzz()


def checks() -> dict[str, Callable[[bytes], None]]:
    """Return what is called with each input, by target. Importing it is what Atheris watches."""
    from workflow_scripts.step1.archive_policy import Gate, Limits, Member
    from workflow_scripts.step1.confinement import Confines  # noqa: F401 - so that it is watched too
    from workflow_scripts.step1.extraction import Terms, _unpack
    from workflow_scripts.step1.name_encodings import decoder_for
    from workflow_scripts.step1.passwords import Passwords
    from workflow_scripts.step1.sources import Source
    from workflow_scripts.stepkit.errors import ItemError

    def policy(data: bytes) -> None:
        gate = Gate(Limits(bytes_free=1, entries=50))
        paths: list[str] = []
        with contextlib.suppress(ItemError):
            for name in data.decode("utf-8", "surrogateescape" if data[:1] == b"s" else "replace").split("\n"):
                for spelled in (name, name.swapcase(), unicodedata.normalize("NFD", name)):
                    with contextlib.suppress(ItemError):
                        if (path := gate.admit(Member(spelled, "file", 1))) is not None:
                            paths.append(path)
        check_paths(paths)

    def names(data: bytes) -> None:
        raw = data.split(b"\n")
        decoder = decoder_for(raw)
        for name in raw:
            assert isinstance(decoder(name), str)

    def archive(data: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="derush-fuzz-") as place:
            path = Path(place) / "x.bin"
            path.write_bytes(data)
            terms = Terms(Limits(bytes_free=_MOST_BYTES, entries=200), 0, 0, True, "auto", Passwords((("*", "x"),)))
            try:
                told = _unpack(Source(path, (path,)), len(data), Path(place), terms, lambda *_told: None)
            except (ItemError, MemoryError):
                return
            check_paths([str(member["path"]) for member in told["members"]])
            check_folder(
                Path(told["folder"]), {str(member["path"]): int(member["bytes"]) for member in told["members"]}
            )

    def after(mark: bytes) -> Callable[[bytes], None]:
        return lambda data: archive(mark + data[len(mark) :])

    marks = {"zip": b"PK", "tar": b"", "7z": b"7z\xbc\xaf\x27\x1c", "rar": b"Rar!\x1a\x07"}
    return {"policy": policy, "names": names, **{kind: after(mark) for kind, mark in marks.items()}}


def check_paths(paths: list[str]) -> None:
    """Assert that these paths stay below their folder, can be opened on every system, and that no two of them meet."""
    for path in paths:
        parts = path.split("/")
        assert not set(parts) & {"", ".", ".."}, f"leads elsewhere: {path!r}"
        assert all(len(part.encode()) <= 255 and part == part.rstrip(". ") for part in parts), f"odd part: {path!r}"
        assert not any(unicodedata.category(letter) in ("Cc", "Cs") or letter in '\\<>:"|?*' for letter in path), repr(
            path
        )
    folded = [unicodedata.normalize("NFC", path).casefold() for path in paths]
    assert len(set(folded)) == len(folded), f"two members are one file: {paths!r}"


def check_folder(folder: Path, members: dict[str, int]) -> None:
    """Assert that a folder holds these files, of these sizes in bytes, and nothing that is no file or folder."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        assert stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode), f"neither file nor folder: {path}"
        if stat.S_ISREG(status.st_mode):
            assert stat.S_IMODE(status.st_mode) == 0o644 and status.st_nlink == 1, str(path)
            found[path.relative_to(folder).as_posix()] = status.st_size
    assert found == members, f"{found} is not what is recorded: {members}"
    assert sum(found.values()) <= _MOST_BYTES


def seeds(target: str) -> list[bytes]:
    """Return inputs to begin with: names of every awkward kind, small archives of the target's kind."""
    from tests.steps.step1.packing import DEVICE, FILE, LINK, pack

    awkward = [
        "a/b.mp4",
        "../x",
        "C:\\x",
        "CON",
        "PROGRA~1",
        "é?*.mp4",
        "x\u202ey",
        "a./b ",
        "A\na",
        "n" * 300,
        "d/" * 41,
    ]
    if target == "policy":
        return [name.encode() for name in awkward]
    if target == "names":
        texts = {"cp850": "Répétition.mp4", "cp932": "撮影データ.mp4", "gbk": "素材一.mp4", "cp1252": "Noël’s.mov"}
        return [text.encode(encoding) for encoding, text in texts.items()]
    suffixes = {
        "zip": [".zip"],
        "tar": [".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"],
        "7z": [".7z"],
        "rar": [],
    }
    entries = [("r/a.mp4", b"a" * 300, FILE), ("r/é.txt", b"", FILE)]
    made = (
        [path.read_bytes() for path in (REPOSITORY / "tests/steps/step1/rar").glob("*.rar")] if target == "rar" else []
    )
    with tempfile.TemporaryDirectory() as place:
        for suffix in suffixes[target]:
            for content in (entries, [*entries, ("up", b"..", LINK)], [("p", b"", DEVICE)]):
                made.append(pack(Path(place) / f"x{suffix}", content).read_bytes())
    return made


if __name__ == "__main__":
    sys.exit(main())
