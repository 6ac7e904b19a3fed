"""Found by `import sagemaker_containers`: the real package where there is one, else our stand-in."""

from byo_container_stand_ins import stand_in

stand_in(__name__)
