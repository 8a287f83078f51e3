"""The figures of `/metrics`, sent to Amazon CloudWatch from every process of the shop."""
