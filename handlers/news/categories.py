"""The four categories of the UCI News Aggregator data, in the order of a model's outputs."""

CATEGORIES: dict[str, str] = {
    "b": "Business",
    "t": "Science & Technology",
    "e": "Entertainment",
    "m": "Health & Medicine",
}
NAMES: tuple[str, ...] = tuple(CATEGORIES.values())
