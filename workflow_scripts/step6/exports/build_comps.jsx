// Builds After Effects compositions: a layer for each shot, a null for each speaker and for each person that was tracked.
// In After Effects: File > Scripts > Run Script File. Written by Derush, in the ES3 that After Effects understands.
(function () {
    var data = /* data */ null;

    function importMedia() {
        var folder = new File($.fileName).parent;
        var uri = data.uri.charAt(0) === "/" ? data.uri : folder.absoluteURI + "/" + data.uri;
        var file = new File(uri);
        if (!file.exists) {
            file = File.openDialog("Where is " + data.name + "? (" + data.media + ")");
        }
        if (!file) {
            return app.project.importPlaceholder(data.name, data.width, data.height, data.comp_fps, Math.min(data.duration, 10800));
        }
        return app.project.importFile(new ImportOptions(file));
    }

    function showTimecode(comp, seconds) {
        try {
            comp.displayStartTime = seconds;
        } catch (error) {
            // After Effects begins no composition later than some time of the day: then it counts from zero.
            comp.displayStartTime = 0;
        }
    }

    // Frames are the medium's, in seconds by its rate: a composition may count fewer.
    function mark(markers, spans, start) {
        var i, marker;
        for (i = 0; i < spans.length; i += 1) {
            marker = new MarkerValue(spans[i].name + (spans[i].note ? "\n" + spans[i].note : ""));
            marker.duration = (spans[i].end - spans[i].start) / data.fps;
            markers.setValueAtTime((spans[i].start - start) / data.fps, marker);
        }
    }

    function addShots(comp, part, media) {
        var i, shot, layer;
        for (i = part.shots.length - 1; i >= 0; i -= 1) {
            shot = part.shots[i];
            layer = comp.layers.add(media);
            layer.name = shot.name;
            layer.startTime = -part.start / data.fps;
            layer.inPoint = (shot.start - part.start) / data.fps;
            layer.outPoint = (shot.end - part.start) / data.fps;
        }
        mark(comp.markerProperty, part.shots, part.start);
    }

    function addNulls(comp, part) {
        var i, k, known, layer, times;
        for (i = 0; i < part.nulls.length; i += 1) {
            known = part.nulls[i];
            layer = comp.layers.addNull();
            layer.name = known.name;
            mark(layer.property("Marker"), known.spans, part.start);
            if (known.frames.length > 0) {
                times = [];
                for (k = 0; k < known.frames.length; k += 1) {
                    times.push((known.frames[k] - part.start) / data.fps);
                }
                layer.property("Transform").property("Position").setValuesAtTimes(times, known.places);
            }
        }
    }

    function build() {
        var media = importMedia(), i, part, comp;
        for (i = 0; i < data.parts.length; i += 1) {
            part = data.parts[i];
            comp = app.project.items.addComp(part.name, data.width, data.height, 1, part.frames / data.fps, data.comp_fps);
            showTimecode(comp, part.start_seconds);
            addShots(comp, part, media);
            addNulls(comp, part);
        }
    }

    app.beginUndoGroup("Derush");
    try {
        build();
    } finally {
        app.endUndoGroup();
    }
}());
