"""The base of the models for the rules file."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """A mapping of the rules file, with known keys only."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, arbitrary_types_allowed=True)
