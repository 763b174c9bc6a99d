"""Writes entities.txt.gz: the named character references of the HTML standard, as Python's `html.entities` has them.
A line is a name without its ampersand, a tab and what it stands for."""
import gzip
from html.entities import html5
from pathlib import Path

# A line break would end its line; it is read as a blank anyway.
lines = sorted(f"{name}\t{text}".replace("\n", " ") for name, text in html5.items())
data = ("\n".join(lines) + "\n").encode()
Path(__file__).with_name("entities.txt.gz").write_bytes(gzip.compress(data, 9, mtime=0))
