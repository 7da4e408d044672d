"""hooks.json or hooks.yaml of adnanh/webhook to rules.yaml."""
