"""STEP4: who speaks when, and what is said."""
