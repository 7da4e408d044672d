"""GET /metrics: what the daemon counted, and the values it reads for each scrape."""
