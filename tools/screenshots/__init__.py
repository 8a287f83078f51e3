"""Every page of the shop, found by the application's routes, and pictures of all of them."""
