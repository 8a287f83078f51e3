"""The shop's rules and values; does no I/O, reads no clock, makes no ids."""
