"""What is remembered for a while; never what a decision rests on."""
