"""STEP6's reduction of raw tracking in DuckDB: RAW.jsonl REDUCED.json. Only the columns that are wanted are read."""

import sys

import duckdb

SEEN = (
    "id BIGINT, bbox DOUBLE[], centroid DOUBLE[], source VARCHAR, label VARCHAR, confidence DOUBLE, "
    "active_speakers VARCHAR[]"
)
QUERY = f"""
COPY (
  SELECT frame, list_transform(objects, lambda seen: {{
    'id': seen.id, 'centroid_x': round(seen.centroid[1], 1), 'source': seen.source, 'label': seen.label,
    'confidence': round(seen.confidence, 4), 'active_speakers': seen.active_speakers,
    'bbox_width': round(seen.bbox[3], 1), 'bbox_height': round(seen.bbox[4], 1)
  }}) AS tracked_objects
  FROM read_json(?, format = 'newline_delimited', columns = {{frame: 'BIGINT', objects: 'STRUCT({SEEN})[]'}})
  WHERE frame IS NOT NULL
) TO '{{reduced}}' (FORMAT json, ARRAY true)
"""

raw, reduced = sys.argv[1:]
duckdb.execute(QUERY.replace("{reduced}", reduced.replace("'", "''")), [raw])
