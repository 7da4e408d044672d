"""From nodes to compiled rules, or to every problem of the file."""
