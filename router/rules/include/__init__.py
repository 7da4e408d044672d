"""Rules in several files: which files an `include:` names, their texts, and what it allows them."""
