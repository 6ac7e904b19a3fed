"""Imported as `container`: becomes the user's own package of that name, or else the import paths of older releases."""

from byo_container_stand_ins import stand_in_old_name

stand_in_old_name(__name__)
