"""``POST /v1/audio/speech``: silence in a real file of the format that is asked for, as long as the text."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Iterator, Mapping
from typing import Any

from maas_api.demo.simulators.openai.faults import require
from maas_api.demo.simulators.reply import RefusedError
from maas_api.demo.simulators.server import Binary, Events, event
from maas_api.demo.simulators.words import count

LONGEST = 4096
"""Characters of a text."""

RATE = 24_000
"""Samples a second, 16 bits, one channel: what the real service sends as pcm."""

SECONDS_A_TOKEN = 0.25
TOKENS_A_SECOND = 20
"""Audio tokens of a second of speech."""

# MPEG-1 layer III, 128 kbit/s, 44.1 kHz, no padding: 417 bytes a frame of 1152 samples. After the head only zeroes:
# silence.
_MP3_FRAME = b"\xff\xfb\x90\x00" + bytes(413)
_MP3_SECONDS = 1152 / 44_100

KINDS = {"mp3": "audio/mpeg", "wav": "audio/wav", "pcm": "audio/pcm"}


def respond(body: Mapping[str, Any]) -> Binary | Events:
    """The file, or its pieces as events. Raises RefusedError, also for a format this simulator does not write."""
    require(body, "model", "input", "voice")
    text = body["input"]
    if not isinstance(text, str) or not 1 <= len(text) <= LONGEST:
        raise RefusedError(f"Invalid 'input': expected a string of 1 to {LONGEST} characters.", "input")
    form = body.get("response_format") or "mp3"
    if form not in KINDS:
        raise RefusedError(
            f"Invalid value for 'response_format': this simulator writes {', '.join(KINDS)}.", "response_format"
        )
    seconds = SECONDS_A_TOKEN * count(text)
    sound = silence(form, seconds)
    if body.get("stream_format") == "sse":
        return Events(_events(sound, count(text), round(seconds * TOKENS_A_SECOND)))
    return Binary(KINDS[form], sound)


def silence(form: str, seconds: float) -> bytes:
    """A file of that many seconds."""
    if form == "mp3":
        return _MP3_FRAME * max(1, round(seconds / _MP3_SECONDS))
    samples = bytes(2 * round(seconds * RATE))
    if form == "pcm":
        return samples
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(samples)
    return file.getvalue()


def _events(sound: bytes, words: int, spoken: int) -> Iterator[bytes]:
    for at in range(0, len(sound), 1 << 14):
        piece = base64.b64encode(sound[at : at + (1 << 14)]).decode()
        yield event({"type": "speech.audio.delta", "audio": piece})
    usage = {"input_tokens": words, "output_tokens": spoken, "total_tokens": words + spoken}
    yield event({"type": "speech.audio.done", "usage": usage})
