"""Boxes, as those who train trackers and those who animate read them: places, frames, gaps, identities."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import jsonschema
import pytest

from tests.steps.step6.exported import (
    box,
    constant,
    exported,
    valid,
    write_scenes,
    write_speech,
    write_tracks,
    write_video,
)
from workflow_scripts.step6.exports.after_effects import MOST_STREAMS
from workflow_scripts.step6.exports.files import Order, prepare
from workflow_scripts.step6.exports.formats import FORMATS
from workflow_scripts.step6.exports.timeline import Export
from workflow_scripts.stepkit.errors import ItemError
from workflow_scripts.stepkit.projects import Project, Video

F = Fraction


def seen(frame: int) -> list[dict[str, Any]]:
    """Track 4 in frames 0 to 9 and 15 to 19, moving; track 9 in frame 3 alone."""
    objects = (
        [box(4, 10 + frame, 20, 30, 40, identity={"person": "person_1"}, is_speaking=frame == 3)]
        if frame < 10 or 15 <= frame < 20
        else []
    )
    return objects + ([box(9, 1, 2, 3, 4, label="car", confidence=None)] if frame == 3 else [])


@pytest.fixture
def tracked(tmp_path: Path) -> Export:
    """A video of 50 fps, stored lying down: what the proxy shows is 540 wide, the original 1080."""
    video = write_video(tmp_path / "docs", "clip", constant(F(50), 4, "01:00:00:00", rotation=90))
    write_scenes(video, [12])
    write_tracks(video, seen)
    write_speech(video, [(0, 1000, "Zoé", "oui"), (500, 2000, "Ali", "non")])
    return exported(video)


def text_of(export: Export, name: str, folder: Path) -> str:
    path = folder / f"a{FORMATS[name].suffix}"
    FORMATS[name].write(export, path)
    return path.read_bytes().decode()


FRAMES = [*range(0, 20, 2), *range(30, 40, 2)]


def test_mot(tracked: Export, tmp_path: Path) -> None:
    rows = [line.split(",") for line in text_of(tracked, "mot", tmp_path).splitlines()]
    assert all(len(row) == 10 and row[7:] == ["-1", "-1", "-1"] for row in rows)
    assert [int(row[0]) - 1 for row in rows if row[1] == "1"] == FRAMES
    assert [row for row in rows if row[1] == "2"] == [
        ["7", "2", "2.00", "4.00", "6.00", "8.00", "1.0000", "-1", "-1", "-1"]
    ]
    assert rows[1][2:6] == ["22.00", "40.00", "60.00", "80.00"]


def test_coco(tracked: Export, tmp_path: Path) -> None:
    document = json.loads(text_of(tracked, "coco", tmp_path))
    images = {image["id"]: image for image in document["images"]}
    assert [image["file_name"] for image in images.values()] == [f"clip_{frame:06d}.jpg" for frame in FRAMES]
    assert {(image["width"], image["height"]) for image in images.values()} == {(1080, 1920)}
    names = {category["id"]: category["name"] for category in document["categories"]}
    assert [note["id"] for note in document["annotations"]] == list(range(1, 17))
    assert {note["image_id"] for note in document["annotations"]} == set(images)
    car = next(note for note in document["annotations"] if names[note["category_id"]] == "car")
    assert (car["bbox"], car["area"], car["iscrowd"], images[car["image_id"]]["file_name"]) == (
        [2, 4, 6, 8],
        48,
        0,
        "clip_000006.jpg",
    )


def test_cvat_ends_a_box_where_nothing_is_seen(tracked: Export, tmp_path: Path) -> None:
    root = ElementTree.fromstring(text_of(tracked, "cvat", tmp_path))
    face, car = root.findall("track")
    assert [(int(it.get("frame", "")), it.get("outside")) for it in face] == [
        *((frame, "0") for frame in FRAMES[:10]), (19, "1"), *((frame, "0") for frame in FRAMES[10:]), (39, "1"),
    ]  # fmt: skip
    assert [(it.get("frame"), it.get("outside")) for it in car] == [("6", "0"), ("7", "1")]
    assert (face.get("label"), face[0].get("xtl"), face[0].get("xbr"), face[0].get("ybr")) == (
        "face",
        "20.00",
        "80.00",
        "120.00",
    )
    assert root.findtext("meta/task/size") == "200"


def test_frames_that_are_shown_twice_count_once(tmp_path: Path) -> None:
    video = write_video(tmp_path / "docs", "clip", constant(F(25, 2), 2))
    write_tracks(video, lambda frame: [box(1, 0, 0, 2, 2)])
    export = exported(video, "mot")
    frames = [int(line.split(",")[0]) for line in text_of(export, "mot", tmp_path).splitlines()]
    assert frames == list(range(1, 51, 2)), "12.5 fps is laid on 25"
    root = ElementTree.fromstring(text_of(export, "cvat", tmp_path))
    assert {it.get("outside") for it in root.find("track") or ()} == {"0"}


def test_parquet(tracked: Export, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    FORMATS["parquet"].write(tracked, path)
    codecs = duckdb.execute("SELECT DISTINCT compression FROM parquet_metadata(?)", [str(path)]).fetchall()
    rows = duckdb.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    assert codecs == [("ZSTD",)]
    assert len(rows) == 16
    assert rows[3] == (3, 6, 0.12, 1, "4", "face", "s", "person_1", 26.0, 40.0, 60.0, 80.0, 0.5, True)
    assert rows[4][4:8] == ("9", "car", "s", None)
    assert rows[-1][:4] == (19, 38, 0.76, 2)


def test_persons_have_the_names_that_people_wrote(tracked: Export, tmp_path: Path) -> None:
    people = {"person_1": {"name": "Zoé"}, "person_2": {"name": None}}
    (tmp_path / "docs/people.json").write_text(json.dumps({"people": people}))
    (tmp_path / "speakers.json").write_text(json.dumps({"speakers": [{"label": "Ali", "name": "Ali B."}]}))
    export = exported(Video(Project(tmp_path), "clip"))
    assert {span.name for span in export.markers} == {"Zoé", "car 9", "Ali B."}
    (tmp_path / "docs/people.json").write_text('["none"]')
    assert {span.name for span in exported(Video(Project(tmp_path), "clip")).markers} == {
        "Zoé",
        "person_1",
        "car 9",
        "Ali B.",
    }


def test_nothing_seen_is_a_result(tmp_path: Path) -> None:
    video = write_video(tmp_path / "docs", "clip", constant(F(25), 2))
    write_tracks(video, lambda frame: [])
    export = exported(video, "mot")
    assert text_of(export, "mot", tmp_path) == ""
    assert json.loads(text_of(export, "coco", tmp_path))["annotations"] == []
    assert ElementTree.fromstring(text_of(export, "cvat", tmp_path)).find("track") is None
    FORMATS["parquet"].write(export, tmp_path / "a.parquet")
    assert duckdb.execute("SELECT count(*) FROM read_parquet(?)", [str(tmp_path / "a.parquet")]).fetchall() == [(0,)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"frame": 1, "objects": [{"id": 1, "label": "a", "source": "s", "confidence": NaN, "bbox": [0, 0, 1, 1]}]}', "NaN"),
        ('{"frame": 1, "objects": [{"id": 1, "label": "a", "source": "s", "confidence": 1, "bbox": [0, 0, 1e999, 1]}]}', "four numbers"),
        ('{"frame": 1, "objects": [{"id": 1, "label": "a", "source": "s", "confidence": 1, "bbox": [0, 0, 1]}]}', "four numbers"),
        ('{"frame": 1, "objects": [{}]}', "id"), ('{"frame": 2, "objects": []}', "stands where"), ("{", "line 2"), ("\xff", "line 2"),
    ],
)  # fmt: skip
def test_a_broken_line_is_named_and_nothing_made_of_it(line: str, reason: str, tmp_path: Path) -> None:
    video = write_video(tmp_path / "docs", "clip", constant(F(25), 2))
    write_tracks(video, lambda frame: [])
    path = video.artefact("_tracking_raw.jsonl")
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], line.encode("latin-1"), *lines[2:]]))
    prepared = prepare(video, Order(("mot", "otio")), tmp_path)
    ((made, error),) = prepared.impossible
    assert (made.name, error.code) == ("mot", "broken_tracking_raw")
    assert "line 2" in error.message and reason in error.message and "STEP5" in error.remedy
    assert [it.name for it in prepared.possible] == ["otio"] and isinstance(prepared.warnings[0], ItemError)


def test_json_for_after_effects_is_as_documented(tracked: Export, tmp_path: Path) -> None:
    document = valid("after_effects", json.loads(text_of(tracked, "ae-json", tmp_path)))
    person, car = document["subjects"]
    assert (person["name"], person["frames"], person["left"][:2]) == ("person_1", FRAMES, [20.0, 22.0])
    assert (car["name"], car["frames"]) == ("car 9", [6])
    assert [(shot["start_frame"], shot["end_frame"]) for shot in document["shots"]] == [(0, 24), (24, 200)]
    assert document["start_seconds"] == 3600 and document["rate"] == "50/1"


def test_mgjson_holds_what_it_announces(tracked: Export, tmp_path: Path) -> None:
    document = json.loads(text_of(tracked, "mgjson", tmp_path))
    samples = {each["sampleSetID"]: each["samples"] for each in document["dataDynamicSamples"]}
    outlines = {each["sampleSetID"]: each for each in document["dataOutline"]}
    assert list(samples) == list(outlines) == ["shot", "speakers", "middle1", "size1", "middle2", "size2"]
    for key, outline in outlines.items():
        assert outline["sampleCount"] == len(samples[key]) and key.isalnum() and not key[0].isdigit()
        values = [each["value"] for each in samples[key]]
        lengths = {
            len(text)
            for value in values
            for text in ([value] if isinstance(value, str) else value if isinstance(value, list) else [value["str"]])
        }
        assert len(lengths) == 1, "values of a stream are padded to one length"
    assert samples["shot"] == [
        {"time": "1970-01-01T00:00:00.000Z", "value": "1"}, {"time": "1970-01-01T00:00:00.480Z", "value": "2"},
    ]  # fmt: skip
    assert [each["value"]["str"].strip() for each in samples["speakers"]] == ["Zoé", "Zoé, Ali", "Ali", ""]
    assert samples["middle1"][1] == {"time": "1970-01-01T00:00:00.040Z", "value": ["+52.00", "+80.00"]}


def test_after_effects_gets_no_more_than_it_bears(tmp_path: Path) -> None:
    video = write_video(tmp_path / "docs", "clip", constant(F(25), 8))
    write_tracks(video, lambda frame: [box(frame // 2 + 1, 0, 0, 1, 1)])
    prepared = prepare(video, Order(("mgjson", "jsx", "ae-json")), tmp_path)
    document = json.loads(text_of(prepared.export, "mgjson", tmp_path))
    assert len(document["dataOutline"]) == 2 + 2 * MOST_STREAMS
    assert "many_tracks" in [warning.code for warning in prepared.warnings]
    assert len(json.loads(text_of(prepared.export, "ae-json", tmp_path))["subjects"]) == 100


# After Effects' objects as far as the script may know them, and an engine without anything that came after ES3.
AFTER_EFFECTS = r"""
var fs = require("fs"), vm = require("vm"), log = {comps: [], imported: null, placeholder: null};
function Marker() { this.marks = []; }
Marker.prototype.setValueAtTime = function (t, m) { this.marks.push([t, m.comment, m.duration]); };
function Layer(source) {
    var layer = this; this.source = source; this.markers = new Marker(); this.keys = null;
    this.property = function (name) {
        if (name === "Marker") { return layer.markers; }
        if (name === "Transform") { return {property: function (n) { if (n !== "Position") { throw new Error(n); }
            return {setValuesAtTimes: function (t, v) { if (t.length !== v.length) { throw new Error("lengths"); } layer.keys = [t, v]; }}; }}; }
        throw new Error(name);
    };
}
function Comp(name, w, h, aspect, duration, fps) {
    if (duration > 10800 || fps > 99 || !(w >= 4)) { throw new Error("no such composition"); }
    var comp = this; this.name = name; this.size = [w, h]; this.fps = fps; this.duration = duration; this.frameDuration = 1 / fps;
    this.stack = []; this.markerProperty = new Marker(); this.start = null;
    Object.defineProperty(this, "displayStartTime", {set: function (t) { if (t > 86340) { throw new Error("range"); } comp.start = t; }});
    this.layers = {
        add: function (item) { var layer = new Layer(item); comp.stack.unshift(layer); return layer; },
        addNull: function () { var layer = new Layer(null); comp.stack.unshift(layer); return layer; }
    };
}
var here = process.argv[2];
function File(uri) { this.uri = uri; this.parent = {absoluteURI: encodeURI(require("path").dirname(here))};
    this.exists = fs.existsSync(decodeURIComponent(uri)); }
File.openDialog = function () { return null; };
var sandbox = {
    $: {fileName: encodeURI(here)}, File: File, ImportOptions: function (file) { this.file = file; },
    MarkerValue: function (comment) { this.comment = comment; },
    app: {beginUndoGroup: function () {}, endUndoGroup: function () {}, project: {
        importFile: function (options) { log.imported = decodeURIComponent(options.file.uri); return "media"; },
        importPlaceholder: function (n, w, h, fps, d) { if (d > 10800) { throw new Error("long"); } log.placeholder = n; return "placeholder"; },
        items: {addComp: function (a, b, c, d, e, f) { var comp = new Comp(a, b, c, d, e, f); log.comps.push(comp); return comp; }}
    }}
};
vm.createContext(sandbox);
vm.runInContext("JSON = undefined; Object.keys = undefined; Date.now = undefined; String.prototype.trim = undefined;" +
    "['forEach','map','filter','indexOf','lastIndexOf','some','every','reduce','includes','find','fill'].forEach(" +
    "function (name) { delete Array.prototype[name]; });", sandbox);
vm.runInContext(fs.readFileSync(here, "utf8"), sandbox);
console.log(JSON.stringify(log));
"""


def run_script(path: Path, folder: Path) -> Any:
    """Run a script as After Effects would, under Node: the one that Playwright brings, where the system has none."""
    node = shutil.which("node")
    if node is None:
        from playwright._impl._driver import compute_driver_executable

        node = str(compute_driver_executable()[0])
    (folder / "after_effects.js").write_text(AFTER_EFFECTS)
    ran = subprocess.run([node, folder / "after_effects.js", path], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


NEWER = (
    "let ",
    "const ",
    "=>",
    "`",
    "class ",
    "...",
    "JSON",
    ".forEach",
    ".map(",
    "Object.keys",
    "for (const",
    ",\n    }",
    ", ]",
    ",]",
    ",}",
)


def test_the_script_builds_a_composition(tracked: Export, tmp_path: Path) -> None:
    path = tmp_path / "exports" / "é a.jsx"
    path.parent.mkdir()
    FORMATS["jsx"].write(tracked, path)
    log = run_script(path, tmp_path)
    (comp,) = log["comps"]
    assert log["imported"] == f"{tmp_path}/exports/../sources/clip.mov"
    assert (comp["name"], comp["size"], comp["fps"], comp["duration"], comp["start"]) == (
        "clip",
        [1080, 1920],
        50,
        4,
        3600,
    )
    layers = {layer["name"]: layer for layer in comp["stack"]}
    assert (layers["Shot 2"]["inPoint"], layers["Shot 2"]["outPoint"], layers["Shot 2"]["startTime"]) == (0.48, 4, 0)
    assert [round(mark[0] * 50) for mark in comp["markerProperty"]["marks"]] == [0, 24]
    times, places = layers["person_1"]["keys"]
    assert [round(time * 50) for time in times] == FRAMES and places[1] == [52, 80]
    assert layers["Speaker Zoé"]["markers"]["marks"] == [[0, "Zoé", 1]]
    source = (Path(__file__).resolve().parents[3] / "workflow_scripts/step6/exports/build_comps.jsx").read_text()
    assert not [sign for sign in NEWER if sign in source]


def test_a_video_of_more_than_three_hours_becomes_several_compositions(tmp_path: Path) -> None:
    video = write_video(tmp_path / "docs", "clip", constant(F(24), 16_200, "23:59:50:00"))
    write_scenes(video, [25 * 3600])
    (tmp_path / "sources/clip.mov").unlink()
    export = exported(video)
    path = tmp_path / "a.jsx"
    FORMATS["jsx"].write(export, path)
    log = run_script(path, tmp_path)
    assert log["placeholder"] == "clip"
    assert [(comp["name"], comp["duration"], comp["start"]) for comp in log["comps"]] == [
        ("clip 1 of 3", 3600, 0), ("clip 2 of 3", 10800, 3590), ("clip 3 of 3", 1800, 14390)
    ]  # fmt: skip
    in_order = defaultdict(list)
    for comp in log["comps"]:
        for layer in reversed(comp["stack"]):
            in_order[layer["name"]].append(
                (layer["inPoint"] - layer["startTime"], layer["outPoint"] - layer["startTime"])
            )
    assert (
        in_order["Shot 1"] == [(0, 3600)] and in_order["Shot 2"][0][0] == 3600 and in_order["Shot 2"][-1][1] == 16_200
    )


def test_the_schema_of_the_json_is_one() -> None:
    schema = json.loads((Path(__file__).resolve().parents[3] / "docs/schemas/after_effects.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
