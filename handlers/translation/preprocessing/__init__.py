"""From two files of sentences to the binary text that fairseq trains on."""
