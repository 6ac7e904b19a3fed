"""The models that come with byo-container, each a folder that looks just like what a user would bring."""

if __name__ == "handlers":  # from a checkout on the path
    from byo_container.container import old_names

    old_names.install()
    __path__ = old_names.SEARCH_PATH
