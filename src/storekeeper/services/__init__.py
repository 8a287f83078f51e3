"""Use cases: read what is needed, let the domain decide, commit what it answers."""
