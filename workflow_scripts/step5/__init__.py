"""STEP5: tracking of what is seen."""
