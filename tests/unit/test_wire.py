"""Types of the wire that pydantic does not check by itself."""

import pydantic
import pytest

from agentcontainer.api.schemas.dispatch import Overrides


@pytest.mark.parametrize("value", [[], {}, 1, True, "", "Other", ["openai"]])
def test_a_provider_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(pydantic.ValidationError, match="must be one of anthropic"):
        Overrides.model_validate({"provider": value})
