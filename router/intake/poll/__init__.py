"""Sources that the router asks: requests, pages, items, and when to ask again."""
