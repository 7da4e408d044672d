"""Sources that the router polls: requests, pages, items, and when to poll again."""
