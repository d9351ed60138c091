"""The lightest step there can be: a program that does nothing."""
