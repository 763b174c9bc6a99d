"""The official OpenAI client draws, edits, opens links and lists models."""
import base64
import io
import sys
import urllib.request

import openai
from PIL import Image

server = sys.argv[1]
client = openai.OpenAI(base_url=f"{server}/v1", api_key=sys.argv[2] if len(sys.argv) > 2 else "none")


def opened(item):
    return Image.open(io.BytesIO(base64.b64decode(item.b64_json)))


names = [model.id for model in client.models.list()]
assert "demo" in names, names
assert client.models.retrieve("demo").id == "demo"
try:
    client.models.retrieve("org/no-such-model")
    raise SystemExit("an unknown model is shown")
except openai.NotFoundError as error:
    assert error.body["param"] == "model", error

drawn = client.images.generate(
    model="dall-e-3", prompt="a red circle on a blue background", n=2, size="64x64", response_format="b64_json",
    extra_body={"seed": 1, "steps": 8},
)
images = [opened(item) for item in drawn.data]
assert [image.size for image in images] == [(64, 64)] * 2, images

# As they come: no form is named, and links open in a browser, which has no token.
plain = client.images.generate(model="gpt-image-1", prompt="a red circle", size="64x64", extra_body={"steps": 1})
assert plain.data[0].b64_json and plain.data[0].url is None, plain.data[0].url
linked = client.images.generate(prompt="a", size="64x64", response_format="url", extra_body={"steps": 1})
with urllib.request.urlopen(linked.data[0].url) as answer:
    assert Image.open(io.BytesIO(answer.read())).size == (64, 64) and linked.data[0].b64_json is None

png = io.BytesIO()
images[0].save(png, "PNG")
hole = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
hole.paste((0, 0, 0, 0), (0, 0, 32, 64))
mask = io.BytesIO()
hole.save(mask, "PNG")
edited = client.images.edit(
    image=("image.png", png.getvalue()), mask=("mask.png", mask.getvalue()), prompt="a green square", n=1,
    size="64x64", extra_body={"steps": 8},
)
after = opened(edited.data[0]).convert("RGB")
before = images[0].convert("RGB")
right = (33, 0, 64, 64)
assert after.crop(right).tobytes() == before.crop(right).tobytes(), "the part outside the mask changed"
assert after.tobytes() != before.tobytes(), "nothing changed"

try:
    client.images.generate(prompt="a", model="no-such-model")
    raise SystemExit("an unknown model was drawn with")
except openai.BadRequestError as error:
    assert error.status_code == 400 and error.body["param"] == "model", error
print("openai", openai.__version__, "models:", names, "pictures:", len(images), "edited: yes")
