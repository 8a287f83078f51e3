"""Continuous backup: what is committed to the file goes to a target within about a second."""
