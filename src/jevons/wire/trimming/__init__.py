"""Long tool output made shorter by rules: JSON, logs and diffs read, what repeats said once, the rest word for word.

Pure: the same text gives the same bytes, and a text that was made shorter is left as it is. Does not know: what is worth it, tokens, where the
original is kept.
"""
