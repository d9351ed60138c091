"""STEP7: delivery and archiving."""
