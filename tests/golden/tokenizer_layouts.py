"""Writes tokenizer/layouts.json: tokenizers in the layouts that transformers 4 and 5 save, over a small vocabulary, and
the ids that `CLIPTokenizer.from_pretrained(folder)` of transformers 5.5.4 gives, padded as diffusers has them, after
diffusers' `maybe_convert_prompt` (0.42.1), which writes a word of several vectors out.

    python tests/golden/tokenizer_layouts.py

`@base`, `@other` (two tokens swapped), `@fewer` (without the two special tokens) and `@merges` stand for what the
file's first line has."""
import copy
import json
import tempfile
from pathlib import Path

from diffusers.loaders import TextualInversionLoaderMixin
from transformers import CLIPTokenizer

OUT = Path(__file__).with_name("tokenizer") / "layouts.json"
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
TEXTS = ["a cat", "a <cat-toy>, dog", "x<cat-toy>y", "a  <CAT-TOY>  toy", "Zed Zedd (Zed) zed", "a <pad> ! !! cat's",
         f"a {EOS} b {BOS.upper()}", "ein Café <s0><s1> dog", "toy <b> cat <a>", "",
         "a <toy> cat, <toy>", "x<toy>_1 <TOY> <dog> <toy>_2"]


def base():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    bytes_ = [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    merges = [("c", "a"), ("ca", "t</w>"), ("d", "o"), ("do", "g</w>"), ("t", "o"), ("to", "y</w>"), ("a", "t</w>"),
              ("'", "s</w>"), ("!", "!</w>")]
    tokens = bytes_ + [b + "</w>" for b in bytes_] + ["".join(pair) for pair in merges] + [BOS, EOS]
    return tokens, merges


TOKENS, MERGES = base()
SWAP = ["cat</w>", "dog</w>"]
FIRST = len(TOKENS)


def vocabulary(name):
    tokens = TOKENS[:-2] if name == "@fewer" else list(TOKENS)
    if name == "@other":
        i, j = (tokens.index(token) for token in SWAP)
        tokens[i], tokens[j] = tokens[j], tokens[i]
    return {token: i for i, token in enumerate(tokens)}


def added(content, id=None, **flags):
    token = {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    return ({"id": id} if id is not None else {}) | token | flags


def special(content, id=None, **flags):
    return added(content, id, special=True, **({"normalized": False} | flags))


CONFIG = {"model_max_length": 24, "tokenizer_class": "CLIPTokenizer"}
LONG = {"bos_token": {"__type": "AddedToken", **added(BOS)}, "eos_token": {"__type": "AddedToken", **added(EOS)}}
for token in LONG.values():
    del token["special"]
MAP = {"bos_token": {k: v for k, v in added(BOS).items() if k != "special"}, "eos_token": EOS, "unk_token": EOS}
OLD = {"vocab.json": "@base", "merges.txt": "@merges", "tokenizer_config.json": CONFIG}
CAT = {"<cat-toy>": FIRST}


def fast(tokens, vocab="@base", merges="@merges"):
    tokens = [special(BOS, FIRST - 2, normalized=True), special(EOS, FIRST - 1), *tokens]
    return {"version": "1.0", "added_tokens": tokens, "model": {"type": "BPE", "vocab": vocab, "merges": merges}}


def new(tokens, **config):
    return {"tokenizer.json": fast(tokens), "tokenizer_config.json": CONFIG | config}


FLAGS = [added("<cat-toy>", FIRST, lstrip=True, rstrip=True), added("Zed", FIRST + 1, single_word=True, normalized=False),
         added("<s0>", FIRST + 2, normalized=False), added("<s1>", FIRST + 3, special=True, normalized=False, lstrip=True)]
VECTORS = ["<toy>", "<toy>_1", "<toy>_2", "<dog>", "<dog>_2"]
LAYOUTS = {
    "transformers 4": OLD | {"special_tokens_map.json": MAP},
    "transformers 4, added": OLD | {"special_tokens_map.json": MAP, "added_tokens.json": CAT},
    "transformers 4, added out of order": OLD | {"added_tokens.json": {"<b>": FIRST + 1, "<a>": FIRST}},
    "transformers 4, added with a gap": OLD | {"added_tokens.json": {"<a>": FIRST + 5}},
    "transformers 4, padding in the map": OLD | {"special_tokens_map.json": MAP | {"pad_token": "!"}},
    "transformers 4, padding in both": OLD
    | {"special_tokens_map.json": MAP | {"pad_token": "!"}, "tokenizer_config.json": CONFIG | {"pad_token": BOS}},
    "transformers 4, long names": OLD | {"tokenizer_config.json": CONFIG | LONG | {"pad_token": "!"}},
    "transformers 4, a padding of its own": OLD
    | {"special_tokens_map.json": MAP | {"pad_token": "<pad>"}, "added_tokens.json": {"<pad>": FIRST} },
    "transformers 5": new([]),
    "transformers 5, added": new([added("<cat-toy>", FIRST)]),
    "transformers 5, flags": new(FLAGS),
    "transformers 5, padding": new([special("!", 0)], pad_token="!"),
    "transformers 5, a padding of its own": new([special("<pad>", FIRST)], pad_token="<pad>"),
    "transformers 5, another vocabulary": {"tokenizer.json": fast([], "@other"), "tokenizer_config.json": CONFIG},
    "both, tokenizer.json first": OLD | {"tokenizer.json": fast([added("<cat-toy>", FIRST)], "@other")},
    "both, other words": OLD | {"tokenizer.json": fast([added("<a>", FIRST)]), "added_tokens.json": {"<b>": FIRST + 1}},
    "both, the same place": OLD | {"tokenizer.json": fast([added("<a>", FIRST)]), "added_tokens.json": {"<b>": FIRST}},
    "added_tokens_decoder alone": OLD
    | {"tokenizer_config.json": CONFIG | {"added_tokens_decoder": {str(FIRST): added("<cat-toy>", rstrip=True)}}},
    "added_tokens_decoder before all": OLD | {
        "tokenizer.json": fast([added("<a>", FIRST)]),
        "added_tokens.json": {"<b>": FIRST},
        "special_tokens_map.json": MAP | {"pad_token": "!"},
        "tokenizer_config.json": CONFIG | {"added_tokens_decoder": {str(FIRST): added("<cat-toy>"), "5": special("&")}},
    },
    "additional special tokens": OLD | {"special_tokens_map.json": MAP | {"additional_special_tokens": ["<s0>", "<s1>"]}},
    "extra special tokens": new([], extra_special_tokens=["<s0>", "<s1>"]),
    "a start of its own": OLD | {"tokenizer_config.json": CONFIG | {"bos_token": "<s0>"}},
    "words of several vectors": new([added(word, FIRST + i) for i, word in enumerate(VECTORS)]),
    "words of several vectors, transformers 4": OLD
    | {"added_tokens.json": {word: FIRST + i for i, word in enumerate(VECTORS[::-1])}},
    "special tokens split": new([added("<cat-toy>", FIRST), special("<s0>", FIRST + 1)], split_special_tokens=True),
    "special tokens among the added ones alone": {
        "tokenizer.json": fast([], "@fewer"),
        "tokenizer_config.json": CONFIG,
    },
}


def write(folder, files):
    for name, content in copy.deepcopy(files).items():
        if name == "merges.txt":
            content = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in MERGES)
        elif name == "vocab.json":
            content = json.dumps(vocabulary(content))
        else:
            model = content.get("model", {})
            if model:
                model["vocab"], model["merges"] = vocabulary(model["vocab"]), MERGES
            content = json.dumps(content)
        Path(folder, name).write_text(content)


def main():
    layouts = []
    for name, files in LAYOUTS.items():
        with tempfile.TemporaryDirectory() as folder:
            write(folder, files)
            tokenizer = CLIPTokenizer.from_pretrained(folder)
            texts = [TextualInversionLoaderMixin().maybe_convert_prompt(text, tokenizer) for text in TEXTS]
            ids = tokenizer(texts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True).input_ids
            layouts.append({"name": name, "files": files, "size": len(tokenizer), "ids": ids})
    head = {"tokens": TOKENS, "merges": MERGES, "swap": SWAP, "texts": TEXTS}
    lines = [json.dumps(layout, ensure_ascii=False) for layout in layouts]
    head = json.dumps(head, ensure_ascii=False)
    OUT.write_text(head[:-1] + ',\n"layouts": [\n' + ",\n".join(lines) + "\n]}\n")


main()
