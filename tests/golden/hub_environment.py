"""What Python's huggingface_hub makes of the environment: cases and answers as JSON, for src/config/hub.rs.

    pip install huggingface_hub==2.4.0
    python tests/golden/hub_environment.py > tests/golden/hub_environment.json
"""

import json
import subprocess
import sys

HOME = {"HOME": "/home/me"}
CASES = [
    {},
    {"HF_HOME": "/data/hf"},
    {"HF_HOME": "~/hf"},
    {"HF_HOME": "~"},
    {"HF_HOME": "$HOME/hf"},
    {"HF_HOME": "${HOME}/hf/"},
    {"HF_HOME": "$SCRATCH/hf", "SCRATCH": "/scratch/$USER", "USER": "me"},
    {"HF_HOME": "$UNSET_AS_FAR_AS_KNOWN/hf"},
    {"HF_HOME": "/a/${UNSET_AS_FAR_AS_KNOWN}/$$/${/$"},
    {"HF_HOME": "/a/$HOMEs/$HOME-b/é$HOMEé"},
    {"HF_HOME": "/a/~/b"},
    {"HF_HOME": "$TILDE/b", "TILDE": "~"},
    {"HF_HOME": "~nobody-of-this-name/hf"},
    {"HF_HOME": "~/hf", "HOME": "/"},
    {"HF_HOME": "~/hf", "HOME": "/home/me//"},
    {"HF_HOME": "relative/hf"},
    {"HF_HOME": "/a/$EMPTY/b", "EMPTY": ""},
    {"XDG_CACHE_HOME": "/xdg"},
    {"XDG_CACHE_HOME": "~/xdg"},
    {"XDG_CACHE_HOME": "$HOME/xdg"},
    {"XDG_CACHE_HOME": "/xdg", "HF_HOME": "/hf"},
    {"HF_HUB_CACHE": "/hub"},
    {"HF_HUB_CACHE": "~/hub", "HF_HOME": "/hf"},
    {"HF_HUB_CACHE": "${HOME}/hub"},
    {"HUGGINGFACE_HUB_CACHE": "/old"},
    {"HUGGINGFACE_HUB_CACHE": "~/old", "HF_HOME": "/hf"},
    {"HUGGINGFACE_HUB_CACHE": "$HOME/old", "HF_HUB_CACHE": "/new"},
    {"HF_TOKEN_PATH": "~/secret"},
    {"HF_TOKEN_PATH": "$HF_HOME/secret", "HF_HOME": "/hf"},
    {"HF_TOKEN": " hf_a\r\n"},
    {"HF_TOKEN": "hf_a\nb"},
    {"HUGGING_FACE_HUB_TOKEN": "hf_old"},
    {"HF_TOKEN": "hf_new", "HUGGING_FACE_HUB_TOKEN": "hf_old"},
    {"HF_TOKEN": "", "HUGGING_FACE_HUB_TOKEN": "hf_old"},
    {"HF_TOKEN": "hf_a", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"},
    {"HF_TOKEN": "hf_a", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0"},
    {"HF_ENDPOINT": "http://mirror:8080//"},
    {"HUGGINGFACE_CO_STAGING": "1"},
    {"HUGGINGFACE_CO_STAGING": "yes", "HF_ENDPOINT": "http://mirror", "HF_HOME": "/hf", "HF_TOKEN_PATH": "/t"},
    *({"HF_HUB_OFFLINE": value} for value in ["1", "ON", "on", "Yes", "tRuE", "0", "off", "2", "y", " 1", "true "]),
    {"TRANSFORMERS_OFFLINE": "1"},
    {"TRANSFORMERS_OFFLINE": "no"},
    {"TRANSFORMERS_OFFLINE": "1", "HF_HUB_OFFLINE": "0"},
    {"TRANSFORMERS_OFFLINE": "1", "HF_HUB_OFFLINE": ""},
    {"HF_HUB_ETAG_TIMEOUT": "3", "HF_HUB_DOWNLOAD_TIMEOUT": " 60 "},
    {"HF_HUB_ETAG_TIMEOUT": "0"},
    {"HF_HUB_DOWNLOAD_TIMEOUT": "soon"},
    {"HF_HUB_ETAG_TIMEOUT": "1.5"},
    {"HF_HUB_DISABLE_SYMLINKS": "TRUE"},
]

ASK = """
import json
import huggingface_hub.constants as c
from huggingface_hub.utils._auth import _get_token_from_environment
from huggingface_hub.utils import build_hf_headers
from pathlib import Path
sent = build_hf_headers().get("authorization")
print(json.dumps({
    "cache": c.HF_HUB_CACHE, "token_path": c.HF_TOKEN_PATH, "endpoint": c.ENDPOINT,
    "token": sent and sent.removeprefix("Bearer "), "offline": c.HF_HUB_OFFLINE,
    "etag_timeout": c.HF_HUB_ETAG_TIMEOUT, "download_timeout": c.HF_HUB_DOWNLOAD_TIMEOUT,
    "symlinks": not c.HF_HUB_DISABLE_SYMLINKS,
}))
"""


def answer(case):
    run = subprocess.run([sys.executable, "-c", ASK], env={**HOME, **case}, capture_output=True, text=True)
    return json.loads(run.stdout) if run.returncode == 0 else None


rows = [{"environment": {**HOME, **case}, "python": answer(case)} for case in CASES]
print("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]")
