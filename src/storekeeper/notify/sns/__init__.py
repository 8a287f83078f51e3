"""Amazon SNS: order events and stock alerts for whoever subscribes to a topic."""
