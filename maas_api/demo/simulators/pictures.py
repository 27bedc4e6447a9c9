"""Pictures in a prompt: what is refused, and how many tokens one counts."""

from __future__ import annotations

import base64
import binascii

from maas_api.demo.simulators.reply import RefusedError

KINDS = ("image/png", "image/jpeg", "image/gif", "image/webp")

OPENAI_TOKENS = 85
"""One picture at low detail, as GPT-4o counts it."""

ANTHROPIC_TOKENS = 1600
"""The largest picture that is not made smaller, as Anthropic's vision guide counts it."""


def check_picture(url: object, param: str) -> None:
    """Raise RefusedError unless it is a link, or a data URL that holds a picture."""
    if not isinstance(url, str):
        raise RefusedError("Missing required parameter: 'image_url.url'.", param)
    if url.startswith(("https://", "http://")):
        return
    head, _, data = url.partition(",")
    if not head.startswith("data:") or not head.endswith(";base64"):
        raise RefusedError(
            "Invalid image URL: expected https:// or data:<media type>;base64,", param, "invalid_image_url"
        )
    check_encoded(head.removeprefix("data:").removesuffix(";base64"), data, param)


def check_encoded(kind: object, data: object, param: str) -> None:
    """Raise RefusedError unless ``data`` is base64 of a picture of a supported kind."""
    if kind not in KINDS:
        raise RefusedError(f"Unsupported image: expected one of {', '.join(KINDS)}.", param, "invalid_image_format")
    try:
        base64.b64decode(data if isinstance(data, str) else "", validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError("The image data is not valid base64.", param, "invalid_base64") from None
    if not data:
        raise RefusedError("The image is empty.", param, "invalid_image")
