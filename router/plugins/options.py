"""The model that a plugin reads its part of the rules file into."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Base of every model that a mapping of the rules file is read into."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, arbitrary_types_allowed=True)
