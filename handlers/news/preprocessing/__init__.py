"""From newsCorpora.csv to the numbers that a network takes."""
