"""The filters of templates: Jinja's, each with a limit on its work, and some of our own.

Templates can use only the filters of this package. Jinja has more, but a filter without a limit could stop the whole
daemon.
"""

from router.templates.filters import coding, lists, numbers, patterns, sorting, texts, times
from router.templates.filters.registry import FILTERS

__all__ = ["FILTERS", "coding", "lists", "numbers", "patterns", "sorting", "texts", "times"]
