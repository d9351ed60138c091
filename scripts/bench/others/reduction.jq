select(.objects) | {
  frame,
  tracked_objects: [.objects[] | {
    id,
    centroid_x: ((.centroid[0] * 10 | round) / 10),
    source,
    "label": .label,
    confidence: ((.confidence * 10000 | round) / 10000),
    active_speakers: (.active_speakers // []),
    bbox_width: ((.bbox[2] * 10 | round) / 10),
    bbox_height: ((.bbox[3] * 10 | round) / 10)
  }]
}
