"""From two files of sentences to what fairseq trains on."""
