"""A shop on AWS: stacks of CloudFormation by the CDK, what they cost, and their deployment."""
