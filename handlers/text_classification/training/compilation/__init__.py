"""torch.compile, where it pays: measured as training goes, undone where it does not, and accounted for."""
