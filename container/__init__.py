"""The contract: what the platform and a model agree on. Standard library only."""

if __name__ == "container":  # from a checkout on the path
    from byo_container.container import old_names

    old_names.install()
    __path__ = old_names.SEARCH_PATH
