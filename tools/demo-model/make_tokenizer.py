"""Owns the CLIP-format tokenizer of the world's words: one token a word, bytes for all else."""

import argparse
import json
from pathlib import Path

from transformers import CLIPTokenizer

from captions import all_words

LENGTH = 77
START, END = "<|startoftext|>", "<|endoftext|>"


def byte_letters():
    """CLIP's 256 printable stand-ins for bytes, in CLIP's order."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + index) for index in range(len(rest))]


def merge(parts, pair):
    """Joins every occurrence of a pair, left to right."""
    joined, index = [], 0
    while index < len(parts):
        if tuple(parts[index:index + 2]) == pair:
            joined.append(parts[index] + parts[index + 1])
            index += 2
        else:
            joined.append(parts[index])
            index += 1
    return joined


def learn_merges(words):
    """Byte-pair merges, the most frequent pair first, until each word is one token."""
    pieces = {word: [*word[:-1], word[-1] + "</w>"] for word in words}
    merges = []
    while any(len(parts) > 1 for parts in pieces.values()):
        counts = {}
        for parts in pieces.values():
            for pair in zip(parts, parts[1:]):
                counts[pair] = counts.get(pair, 0) + 1
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        pieces = {word: merge(parts, best) for word, parts in pieces.items()}
    return merges


def write(folder):
    """Writes vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json."""
    folder.mkdir(parents=True, exist_ok=True)
    letters, merges = byte_letters(), learn_merges(all_words())
    tokens = letters + [letter + "</w>" for letter in letters] + ["".join(pair) for pair in merges] + [START, END]
    assert len(set(tokens)) == len(tokens)
    vocabulary = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False, separators=(",", ":")) + "\n")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    config = {"add_prefix_space": False, "bos_token": START, "clean_up_tokenization_spaces": True, "do_lower_case": True,
              "eos_token": END, "errors": "replace", "model_max_length": LENGTH, "pad_token": END,
              "tokenizer_class": "CLIPTokenizer", "unk_token": END}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")


def load(folder):
    """The tokenizer as transformers reads it."""
    return CLIPTokenizer.from_pretrained(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    write(args.out)
    tokenizer = load(args.out)
    for word in all_words():
        ids = tokenizer(word).input_ids
        assert len(ids) == 3 and ids[0] == len(tokenizer) - 2 and ids[2] == len(tokenizer) - 1, (word, ids)
    print(f"{len(tokenizer)} tokens")


if __name__ == "__main__":
    main()
