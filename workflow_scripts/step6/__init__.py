"""STEP6: reduction of the raw analyses."""
