"""Writes tokenizer/a1111.json: random texts and their ids as A1111 reads them, without start, end and padding.

    python tests/golden/a1111_texts.py

`open_clip` is `SimpleTokenizer.encode` of open_clip_torch 3.2.0 with ftfy 6.3.1, which A1111 calls for 2.x and XL's second
encoder; `clip` is what transformers 4's CLIPTokenizer does for 1.x and XL's first: ftfy, blanks, lower case, the same
pairs. Texts whose encoding ftfy mends are left out."""
import json
import random
import re
from pathlib import Path

import ftfy
import open_clip.tokenizer as open_clip
import regex

OUT = Path(__file__).with_name("tokenizer") / "a1111.json"
COUNT = 400
SIMPLE = open_clip.SimpleTokenizer()
ENDS = {"<|startoftext|>": 49406, "<|endoftext|>": 49407}
MARKS = r"(<\|startoftext\|>|<\|endoftext\|>)"
WORDS = regex.compile(MARKS[1:-1] + r"|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE)
TERMS = """a cat dog photo of the masterpiece best quality 8k highly-detailed it's don't we're lighthouse dusk Ñandú naïve
STRASSE Ὀδυσσεύς ΣΑΣ ΟΔΟΣ İstanbul ſt ǅ ﬁne ﬂuﬃ œuvre 灯台 東京 カタカナ ｶﾞｷﾞ Ｆｕｌｌ １２３ 한국어 ﾡﾢ русский العربية हिन्दी
ไทย עברית 👩‍🎨 👍🏽 &amp; &lt;b&gt; &quot; &hellip; &copy this&not R&D P&EACUTE;REZ &#39; &#x2019; &#146; <cat-toy> <b>
<start_of_text> <end_of_text> 1girl 3.14 100% $5 #tag e\u0301 a\u030a \u212b ŉ ĳ Ǆ""".split()
SIGNS = """! !! !!! ?! ... … , ,, ; - -- — – ‘ ’ “ ” „ ‟ ‚ ‛ ʼ ' " '' 's 'S ’s 'ſ _ __ * ** ~ ^ / | = + % $ € £ ° ² ½ № ™
« » ¿ ¡ · •""".split()
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u2028", "\x85", "\xa0", "\u3000", "\u200b", "\ufeff", "\x07", "\x1b[31m", "\x92"]
RANGES = [(33, 126), (0xA1, 0x24F), (0x370, 0x52F), (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xFF01, 0xFFEF), (0x1F300, 0x1F6FF)]


def text(rng):
    parts = []
    for _ in range(rng.randint(0, 7)):
        kind = rng.random()
        if kind < 0.55:
            word = rng.choice(TERMS)
            parts.append(word.upper() if rng.random() < 0.1 else word)
        elif kind < 0.8:
            parts.append(rng.choice(SIGNS))
        elif kind < 0.9:
            parts.append(rng.choice(SPACES))
        else:
            parts.append("".join(chr(rng.randint(*rng.choice(RANGES))) for _ in range(rng.randint(1, 4))))
        if rng.random() < 0.6:
            parts.append(" ")
    # A1111 takes brackets, colons and breaks out before.
    return re.sub(r"[()\[\]\\:]|BREAK", "", "".join(parts))


def clip(text):
    ids = []
    for part in re.split(MARKS, text):
        if part in ENDS:
            ids.append(ENDS[part])
            continue
        for word in WORDS.findall(open_clip.whitespace_clean(ftfy.fix_text(part)).lower()):
            if word in ENDS:
                ids.append(ENDS[word])
                continue
            pairs = SIMPLE.bpe("".join(SIMPLE.byte_encoder[byte] for byte in word.encode()))
            ids += [SIMPLE.encoder[token] for token in pairs.split(" ")]
    return ids


def main():
    rng = random.Random(8)
    texts = ["wow!! it\u2019s", "!", "! !! !!!", "\u201cﬁne\u201d cats\u2019 <|endoftext|>!", "a &amp;amp; b &lt;i&gt;"]
    while len(texts) < COUNT:
        new = text(rng)
        if new not in texts and ftfy.fix_text(new) == ftfy.fix_text(new, fix_encoding=False):
            texts.append(new)
    rows = [json.dumps({"text": t, "open_clip": SIMPLE.encode(t), "clip": clip(t)}, ensure_ascii=False) for t in texts]
    OUT.write_text("[\n" + ",\n".join(rows) + "\n]\n")


main()
