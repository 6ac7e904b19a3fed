"""What training/processes/hugging_face.py changes in Transformers and datasets, in the process of a user's script: it
gives back names and arguments of Transformers 4 and datasets 1 that the releases of today no longer have."""
