"""Defaults for the functions that a user's inference.py leaves out.

Each of SageMaker's own containers (scikit-learn's, XGBoost's, PyTorch's, Hugging Face's, and the inference toolkit that
all of them build on) has defaults of its own, here a module for each. `choose` picks one for a script.
"""
