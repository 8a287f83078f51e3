"""The store past one machine: a log in DynamoDB that every node follows and any node extends."""
