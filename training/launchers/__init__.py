"""One file for each way of starting a job. A launcher is a pure function from the job to commands."""
