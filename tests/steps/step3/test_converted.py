"""What is kept of the network in OpenVINO's form: used when it is right, made anew when it is not, made once by many."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from config.catalog import models
from workflow_scripts.step3 import converted, network
from workflow_scripts.step3.converted import Part, kept_file, kept_or_made

SHA256 = models()["transnetv2"].sha256
REPOSITORY = Path(__file__).resolve().parents[3]
PARTS = tuple(Part(b"<graph/>", bytes([number]) * 9) for number in range(3))
FRAMES = [bytes(3888)] * 60


@pytest.fixture(scope="module")
def kept(weights):
    """The kept file of this session, made by the first test that needs it."""
    network.load(weights, SHA256, "cpu", "f32")
    return kept_file(weights.parent, SHA256)


@pytest.fixture
def place(weights, kept, tmp_path):
    """A models folder of its own, with the kept file in it."""
    (tmp_path / weights.name).symlink_to(weights)
    (tmp_path / converted.FOLDER).mkdir()
    (tmp_path / converted.FOLDER / kept.name).write_bytes(kept.read_bytes())
    return tmp_path


def never():
    raise AssertionError("it was there")


def test_a_second_worker_imports_no_torch_and_says_the_same(kept, weights, place):
    code = (
        "import sys; from pathlib import Path; from workflow_scripts.step3.network import load\n"
        "made = load(Path(sys.argv[1]), sys.argv[2], 'cpu', 'f32')\n"
        "print(sum(float(single.sum() + many.sum()) for single, many in made.curves([bytes(3888)] * 60)))"
    )
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code, str(place / weights.name), SHA256],
        cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert re.search(r"\| +openvino$", ended.stderr, re.MULTILINE)
    assert not re.search(r"\| +torch$", ended.stderr, re.MULTILINE)
    here = network.load(weights, SHA256, "cpu", "f32").curves(FRAMES)
    assert float(ended.stdout) == pytest.approx(sum(float(a.sum() + b.sum()) for a, b in here), abs=1e-5)


def damaged(content: bytes) -> bytes:
    return content[:1000] + bytes(8) + content[1008:]


def of_other_parts(_content: bytes, path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as members:
        for name in ("front", "middle", "end"):
            members.writestr(f"{name}.xml", b"<net/>")
            members.writestr(f"{name}.bin", b"")
    return path.read_bytes()


def swapped(_content: bytes, path: Path) -> bytes:
    """Graphs that OpenVINO reads, and that are not what their names say."""
    with zipfile.ZipFile(path) as members:
        parts = {name: members.read(name) for name in members.namelist()}
    with zipfile.ZipFile(path, "w") as members:
        for kind in ("xml", "bin"):
            members.writestr(f"front.{kind}", parts[f"end.{kind}"])
            members.writestr(f"middle.{kind}", parts[f"middle.{kind}"])
            members.writestr(f"end.{kind}", parts[f"front.{kind}"])
    return path.read_bytes()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content, _path: b"", lambda content, _path: content[: len(content) // 2], lambda content, _path: b"no zip" * 99,
        lambda content, _path: damaged(content), of_other_parts, swapped,
    ],
    ids=["empty", "half", "no zip", "a wrong byte", "no graph", "another graph"],
)  # fmt: skip
def test_what_is_kept_and_cannot_be_used_is_made_anew(place, weights, kept, monkeypatch, spoil):
    path = place / converted.FOLDER / kept.name
    good = path.read_bytes()
    path.write_bytes(spoil(good, path))
    calls = []
    with zipfile.ZipFile(kept) as members:
        right = tuple(Part(members.read(f"{it}.xml"), members.read(f"{it}.bin")) for it in ("front", "middle", "end"))
    monkeypatch.setattr(network, "_convert", lambda _weights: calls.append(1) or right)
    made = network.load(place / weights.name, SHA256, "cpu", "f32")
    assert calls == [1]
    assert np.isfinite(next(made.curves(FRAMES))[0]).all()
    network.load(place / weights.name, SHA256, "cpu", "f32")
    assert calls == [1], "it is kept again"
    assert [it.name for it in path.parent.iterdir()] == [kept.name], "and nothing else is left"


def test_a_file_that_says_it_is_huge_is_not_read(tmp_path):
    path = tmp_path / "transnetv2-x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("front.xml", bytes(200_000_000))
    assert kept_or_made(path, lambda: PARTS, lambda parts: parts) == PARTS
    assert path.stat().st_size < 1000


def test_of_many_one_makes_it(tmp_path):
    path, made, begun = tmp_path / "kept" / "transnetv2-x.zip", [], threading.Barrier(4)

    def make():
        made.append(1)
        return PARTS

    def want():
        begun.wait()
        found.append(kept_or_made(path, make, lambda parts: parts))

    found = []
    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [PARTS] * 4 and made == [1]


def test_other_weights_packages_and_code_have_files_of_their_own(tmp_path, monkeypatch):
    names = {kept_file(tmp_path, "0" * 64).name, kept_file(tmp_path, "1" * 64).name}
    monkeypatch.setattr(converted, "version", lambda name: "0.1")
    names.add(kept_file(tmp_path, "0" * 64).name)
    (tmp_path / "code.py").write_text("x = 1")
    monkeypatch.setattr(converted, "_MADE_BY", tmp_path / "code.py")
    names.add(kept_file(tmp_path, "0" * 64).name)
    assert len(names) == 4
    path = tmp_path / "transnetv2-old.zip"
    path.write_bytes(b"of another version")
    kept_or_made(tmp_path / "transnetv2-new.zip", lambda: PARTS, lambda parts: parts)
    assert not path.exists()
    assert kept_or_made(tmp_path / "transnetv2-new.zip", never, lambda parts: parts) == PARTS


def test_where_nothing_can_be_written_it_is_made_every_time(tmp_path):
    (tmp_path / "file").write_text("no folder")
    for _ in range(2):
        assert kept_or_made(tmp_path / "file" / "x.zip", lambda: PARTS, lambda parts: parts) == PARTS
