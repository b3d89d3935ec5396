"""Says in plain words what is wrong with a value that pydantic refused."""

from pydantic_core import ErrorDetails

_SENTENCES = {
    "missing": "is required",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "decimal_type": "must be a number",
    "decimal_parsing": "must be a number",
    "decimal_max_places": "must have at most {decimal_places} digits after the point",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "list_type": "must be an array",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entries",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be greater than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "extra_forbidden": "unknown field",
    "json_invalid": "is not valid JSON",
    "json_type": "must be JSON",
    "path_type": "must be a path",
    "timezone_aware": "must have a time zone",
}


def sentence(fault: ErrorDetails) -> str:
    """The predicate of a sentence about the value, without pydantic's own words."""
    context = fault.get("ctx", {})
    if fault["type"] == "value_error":  # raised by a validator of ours
        return str(context["error"])
    if fault["type"] in ("string_too_short", "too_short") and context["min_length"] == 1:
        return "must not be empty"
    return _SENTENCES.get(fault["type"], "is not valid").format_map(context)
