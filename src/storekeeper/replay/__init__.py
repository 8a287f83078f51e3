"""Turns a shop's exported invoice lines into what happened in it; it never touches a store."""
