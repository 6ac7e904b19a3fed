"""Files of a channel → token ids and labels."""
