"""The groups of planned deliveries, by latest_by and once_by."""

from collections.abc import Callable
from typing import Any

import pytest

from router.domain.groups import Latest, Once
from router.rules.grouping import LONGEST_KEY
