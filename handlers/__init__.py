"""The models that come with byo-container, each a folder that looks just like what a user would bring."""
