"""One rank of a training job: its settings, fairseq's program with our parts, what it leaves."""
