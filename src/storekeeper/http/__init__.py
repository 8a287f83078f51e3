"""The JSON API: parses what comes from outside into types, calls services, shows the answer."""
