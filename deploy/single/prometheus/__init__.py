"""Prometheus watches a shop without AWS: alerts as CloudWatch's alarms, and how it is set up."""
