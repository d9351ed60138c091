"""The seven steps, each a program of its own, and what they all stand on."""
