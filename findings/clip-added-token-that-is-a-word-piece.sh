#!/usr/bin/env bash
# CLIPTokenizer.add_tokens of a word that the vocabulary already has changes how every prompt with these letters is read.
#
# The guess it breaks: textual inversion's way to choose a placeholder, `add_tokens(["cat"])`, is without effect where the
# vocabulary has "cat", and its return value says 0 then. CLIP's vocabulary has each word twice, as an ending ("cat</w>") and as
# a piece ("cat"). The added token is the piece: add_tokens answers 1, the vocabulary has not grown, "cat" stands for
# another row of the embedding table from then on, and it is cut out of longer words too, which end before it.
# Added tokens are also found whatever their case: "<Mine>" matches "<mine>".
# Source: run on transformers 5.24.0 with a vocabulary of this script's making.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q transformers==5.24.0 tokenizers==0.23.2
HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error "$work/venv/bin/python" - <<'PY'
import transformers
from transformers import CLIPTokenizer

letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
pieces = letters + [c + "</w>" for c in letters] + ["ca", "cat</w>", "cat", "<|startoftext|>", "<|endoftext|>"]
tokenizer = CLIPTokenizer(
    vocab={piece: i for i, piece in enumerate(pieces)}, merges=[("c", "a"), ("ca", "t</w>"), ("ca", "t")]
)
print("transformers", transformers.__version__)
before, size = tokenizer.tokenize("a cat locates"), len(tokenizer)
said = tokenizer.add_tokens(["cat"])
after = tokenizer.tokenize("a cat locates")
print(f"before: {before}\nadd_tokens answers {said}, size {size} -> {len(tokenizer)}\nafter:  {after}")
assert before == ["a</w>", "cat</w>", "l", "o", "cat", "e", "s</w>"], before
assert (said, len(tokenizer)) == (1, size)
assert after == ["a</w>", "cat", "l", "o</w>", "cat", "e", "s</w>"], after
tokenizer.add_tokens(["<Mine>"])
print("<Mine> in `a <mine> hat`:", tokenizer.tokenize("a <mine> hat"))
assert len(tokenizer.tokenize("a <mine> hat")) == 5 and tokenizer.convert_tokens_to_ids("<Mine>") == size
PY
