"""`/admin`: what staff and admins run the day from."""
