"""The JSON Schema of a rules file, for editors that complete and check rules.yaml.

It covers keys, types and the words of the language. `check` covers the rest: undefined names, paths, templates.
Dialect: JSON Schema draft 7, which the YAML language servers of editors support.
"""

from router.rules.compile.json_schema.rules_file import json_schema

__all__ = ["json_schema"]
