"""Telling the outside what happened: the relay that reads committed events, and its channels."""
