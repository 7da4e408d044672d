"""The claims that this process holds, by their tokens: those that are claimed and not settled."""

import threading
from collections import Counter
from collections.abc import Iterable

from router.domain.deliveries import Claim


class HeldClaims:
    """Any thread may call it."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()  #: claims under each token
        self._disowned: set[str] = set()  #: tokens of claims that others may have now, should their answer still come
        self._lock = threading.Lock()  #: of both

    def hold(self, claims: Iterable[Claim]) -> None:
        """These claims were answered."""
        with self._lock:
            self._held.update(claim.token for claim in claims)

    def let_go(self, claim: Claim) -> None:
        """This claim is settled, or given back."""
        with self._lock:
            self._held[claim.token] -= 1
            if self._held[claim.token] <= 0:
                del self._held[claim.token]
                self._disowned.discard(claim.token)

    def is_disowned(self, claim: Claim) -> bool:
        """Whether others may have this claim, because its answer came too late."""
        return claim.token in self._disowned

    def known_tokens(self) -> set[str]:
        """See OwnClaims.known_tokens."""
        with self._lock:
            return set(self._held)

    def disown(self, tokens: set[str]) -> set[str]:
        """See OwnClaims.disown."""
        with self._lock:
            lost = tokens - self._held.keys()
            self._disowned |= lost
        return lost
