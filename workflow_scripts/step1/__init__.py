"""STEP1: archives and clips in, projects out."""
