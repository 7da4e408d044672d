"""The deliveries that an operator changes in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from router.domain.errors import StoreError
from router.store.contract import PAGE


@dataclass(slots=True)
class DeliveryPage:
    """At most PAGE deliveries. Raises StoreError for more."""

    delivery_ids: Sequence[str]
    now: int
    is_append: ClassVar[bool] = False
    order: ClassVar[int] = 3
    lanes: ClassVar[Sequence[UUID]] = ()
    groups: ClassVar[Sequence[UUID]] = ()

    @property
    def weight(self) -> int:
        """About how many bytes of memory the job takes while it waits."""
        return 64 * len(self.delivery_ids)

    @property
    def ids(self) -> Sequence[str]:
        """See WriteJob.ids."""
        return self.delivery_ids

    def __post_init__(self) -> None:
        if len(self.delivery_ids) > PAGE:
            raise StoreError(f"at most {PAGE} deliveries can be changed at once")
