"""Each reason for waiting has a sentence, without values of the payload."""

from typing import Any

import pytest

from router.domain.deliveries import Delivery, State
from router.domain.groups import SkipReason
from router.domain.holds import Hold, HoldCause, HoldKind
from router.domain.target_state import Wait
from router.operate.wait_words import short_reason, skip_sentence, wait_sentence
from router.operate.waits import Waiting


def delivery(**given: Any) -> Delivery:
    facts: dict[str, Any] = {
        "id": "d", "seq": 1, "event_id": "e", "rule": "r", "action": "a", "type": "forward", "target": "ci",
        "order_key": '["a value"]', "latest_key": '["a value"]', "ruleset": "h", "state": State.PENDING,
        "next_attempt_at": 0, "attempts": 2, "interruptions": 0, "first_attempt_at": 1, "created_at": 0,
    }  # fmt: skip
    return Delivery(**facts | given)


@pytest.mark.parametrize("reason", list(Wait))
def test_each_reason_to_wait_has_a_sentence(reason: Wait) -> None:
    sentence = wait_sentence(delivery(), Waiting(reason))

    assert sentence.startswith("It ") and sentence.endswith(".")
    assert "a value" not in sentence
    assert short_reason(Waiting(reason))


def test_each_sentence_names_what_ends_the_wait() -> None:
    paused = Hold(HoldKind.TARGET, "ci", HoldCause.OPERATOR, 0)
    disabled = Hold(HoldKind.RULE, "r", HoldCause.FILE, 0)

    assert "target ci is paused by command. To let it go, resume" in wait_sentence(
        delivery(), Waiting(Wait.PAUSED, None, paused)
    )
    assert "rule r is disabled by the rules file. To let it go, enable" in wait_sentence(
        delivery(), Waiting(Wait.DISABLED, None, disabled)
    )
    assert "after 2 failed ones" in wait_sentence(delivery(), Waiting(Wait.RETRY, 5))
    assert "the breaker of target ci" in wait_sentence(delivery(), Waiting(Wait.BREAKER, 5))
    assert wait_sentence(delivery(), None).startswith("It is due")


def test_a_skipped_delivery_names_the_delivery_that_replaces_it() -> None:
    assert skip_sentence(delivery()) == ""
    skipped = delivery(state=State.SKIPPED, skip_reason=SkipReason.NEWER, skipped_for="n")
    assert "a newer delivery replaces it" in skip_sentence(skipped)
