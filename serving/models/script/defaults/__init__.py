"""What holds for the functions that a user's inference.py leaves out.

Each of SageMaker's own containers (scikit-learn's, XGBoost's, PyTorch's, Hugging Face's, and the inference toolkit that
all of them stand on) has defaults of its own. `choose` decides whose hold for a script; a module each has them.
"""
