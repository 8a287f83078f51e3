"""Grafana shows what the dashboard at AWS shows, out of Prometheus."""
