"""Files of a channel → token ids and labels.

splits.py           all channels of a job, their labels numbered alike, and the rows to validate with
reading.py          the files of one channel
text_files.py       CSV, TSV, JSON lines, text;label lines
saved_datasets.py   folders of save_to_disk
columns.py          which column is the text and which the label
labels.py           names or numbers → indices
tokenizing.py       texts → token ids
pretokenized.py     rows that came tokenised and padded → the same
padding.py          rows → batches
"""
