"""Imported as `sagemaker_containers`: becomes the real package if there is one, or else our stand-in."""

from byo_container_stand_ins import stand_in

stand_in(__name__)
