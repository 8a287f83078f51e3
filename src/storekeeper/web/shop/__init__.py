"""`/shop`: what customers see."""
