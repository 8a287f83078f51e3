"""Pictures: made safe and small, and kept where they can be served from."""
