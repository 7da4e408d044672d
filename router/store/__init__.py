"""Where events, deliveries, attempts and ruleset texts live."""
