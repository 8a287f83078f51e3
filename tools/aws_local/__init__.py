"""The whole shop on local engines that stand in for AWS: brought up, looked at, and taken down."""
