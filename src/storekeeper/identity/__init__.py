"""Passwords, tokens and who a request comes from; keeps nothing that could be used if stolen."""
