"""Storekeeper sells and keeps stock; this module holds the version and nothing else."""

__version__ = "0.1.0"
