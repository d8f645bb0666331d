"""The twins' vocabulary: byte-level BPE, learnt on both languages.

Comes in: texts. Goes out: a tokenizer whose ids are llama.cpp's, given the vocabulary and merges in the GGUF file.
Does not know: models. llama.cpp's pre-tokenizer "gpt-2" splits text by the same expression as ByteLevel here.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 2048
END = "<|endoftext|>"
"""Stands before every text, so that a text's first token has something to follow."""
END_ID = 0


def learn(texts: Iterable[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=[END], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def read(path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(path))


def vocabulary(tokenizer: Tokenizer) -> tuple[list[str], list[str]]:
    """Tokens by id, and merges in order, each "left right", as GGUF wants them."""
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return tokens, merges
