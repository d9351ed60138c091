"""What other programs open: one record of a video (`timeline.Export`), and one module for each family of formats."""
