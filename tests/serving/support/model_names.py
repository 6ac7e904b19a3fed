"""Names of models that no address can hold: clients, and nginx, resolve them to another path."""

UNROUTABLE = [
    "../..",
    "../../etc/passwd",
    "a/../../..",
    "a//../../..",
    "./../..",
    "../../models/a",
    "..//..",
    "x\0y",
]
