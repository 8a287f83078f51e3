"""Keeping the shop: the port that services use, and one package per engine."""
