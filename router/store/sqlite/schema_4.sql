-- Items: what a delivery by a rule with `for_each` is of. None: of the whole event.

-- The place in the payload, such as $.alerts[3].
ALTER TABLE delivery ADD COLUMN item TEXT;

-- The number among the items of the rule, from 0.
ALTER TABLE delivery ADD COLUMN item_index INTEGER;
