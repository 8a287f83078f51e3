"""Measurements of what the shop promises: both sides of each ratio in one run, on one machine."""
