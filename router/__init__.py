"""A declarative, rule-based webhook router."""

__version__ = "0.1.0"
