"""Embeddings, moderations, pictures and speech, held against the OpenAI SDK's own types."""

from __future__ import annotations

import base64
import io
import math
import struct
import wave
import zlib
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse, ImagesResponse, ModerationCreateResponse

from maas_api.demo.simulators.model_server import model_server
from maas_api.demo.simulators.openai_api import openai_api
from maas_api.demo.simulators.server import Binary
from tests.support.sdk_types import events, post, refused, strictly

OPENAI = openai_api("k")
EMBED, MODERATE, DRAW, SPEAK = "/v1/embeddings", "/v1/moderations", "/v1/images/generations", "/v1/audio/speech"
EMBEDDING, MODERATION, IMAGE, SPEECH = (
    "text-embedding-3-small",
    "omni-moderation-latest",
    "gpt-image-1",
    "gpt-4o-mini-tts",
)


@pytest.mark.parametrize("given", ["one text", ["a", "b"], [1, 2, 3], [[1, 2], [3]]])
def test_every_input_has_a_vector_of_length_one(given: Any) -> None:
    done = strictly(CreateEmbeddingResponse, post(OPENAI, EMBED, {"model": EMBEDDING, "input": given}))
    assert [each.index for each in done.data] == list(range(len(done.data)))
    assert all(len(each.embedding) == 1536 for each in done.data)
    assert math.isclose(sum(number**2 for number in done.data[0].embedding), 1, rel_tol=1e-6)
    assert done.usage.prompt_tokens == done.usage.total_tokens >= len(done.data)


def test_equal_texts_have_equal_vectors_in_both_encodings() -> None:
    body = {"model": EMBEDDING, "input": ["same", "same", "other"], "dimensions": 8}
    plain = [each["embedding"] for each in post(OPENAI, EMBED, body)["data"]]
    assert plain[0] == plain[1] != plain[2]
    packed = post(OPENAI, EMBED, {**body, "encoding_format": "base64"})["data"][0]["embedding"]
    assert struct.unpack("<8f", base64.b64decode(packed)) == pytest.approx(plain[0])


def test_the_model_server_embeds_too() -> None:
    done = strictly(CreateEmbeddingResponse, post(model_server("m"), EMBED, {"model": "m", "input": "x"}))
    assert (done.model, len(done.data[0].embedding)) == ("m", 768)


@pytest.mark.parametrize("given", ["fine", ["fine", "fine"], [{"type": "text", "text": "fine"}]])
def test_a_harmless_text_is_not_flagged(given: Any) -> None:
    done = strictly(ModerationCreateResponse, post(OPENAI, MODERATE, {"model": MODERATION, "input": given}))
    assert [result.flagged for result in done.results] == [False] * (2 if given == ["fine", "fine"] else 1)


def test_a_text_is_flagged_in_the_categories_it_names() -> None:
    body = {"model": MODERATION, "input": ["graphic", "Violence/graphic here"]}
    done = strictly(ModerationCreateResponse, post(OPENAI, MODERATE, body))
    assert [result.flagged for result in done.results] == [False, True]
    assert done.results[1].categories.violence_graphic
    assert done.results[1].category_scores.violence_graphic > 0.9
    assert not done.results[1].categories.hate


def test_a_picture_is_a_png_of_the_size_asked_for() -> None:
    body = {"model": IMAGE, "prompt": "a sky", "n": 2, "size": "1536x1024", "quality": "low"}
    done = strictly(ImagesResponse, post(OPENAI, DRAW, body))
    assert done.data is not None
    assert len(done.data) == 2
    file = base64.b64decode(done.data[0].b64_json or "")
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", file[16:24]) == (1536, 1024)
    packed = file[file.index(b"IDAT") + 4 : file.index(b"IEND") - 8]
    assert len(zlib.decompress(packed)) == 1024 * (1 + 3 * 1536)
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.input_tokens + 2 * 408


@pytest.mark.parametrize("form", [None, "mp3", "wav", "pcm"])
def test_speech_is_a_file_of_the_format_asked_for(form: str | None) -> None:
    body = {"model": SPEECH, "input": "one two three four", "voice": "alloy", "response_format": form}
    given = post(OPENAI, SPEAK, body, whole=True)
    assert isinstance(given, Binary)
    if form == "wav":
        with wave.open(io.BytesIO(given.body)) as file:
            assert (file.getframerate(), file.getnframes()) == (24_000, 24_000)
    elif form == "pcm":
        assert len(given.body) == 48_000
    else:
        assert given.kind == "audio/mpeg"
        assert given.body.count(b"\xff\xfb\x90\x00") == len(given.body) / 417 == 38


def test_streamed_speech_ends_with_its_usage() -> None:
    body = {"model": SPEECH, "input": "Hello", "voice": "alloy", "stream_format": "sse", "response_format": "pcm"}
    read = [data for _, data in events(OPENAI, SPEAK, body)]
    sound = b"".join(base64.b64decode(data["audio"]) for data in read[:-1])
    assert len(sound) == 12_000
    usage = {"input_tokens": 1, "output_tokens": 5, "total_tokens": 6}
    assert read[-1] == {"type": "speech.audio.done", "usage": usage}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (EMBED, {"input": ""}, "input"),
        (EMBED, {"input": [""]}, "input"),
        (EMBED, {"input": [1, "x"]}, "input"),
        (EMBED, {"input": []}, "input"),
        (EMBED, {"input": {}}, "input"),
        (EMBED, {"input": "x", "dimensions": 5000}, "dimensions"),
        (EMBED, {"input": "x", "encoding_format": "hex"}, "encoding_format"),
        (MODERATE, {}, "input"),
        (MODERATE, {"input": [5]}, "input"),
        (DRAW, {}, "prompt"),
        (DRAW, {"prompt": "x", "size": "1x1"}, "size"),
        (DRAW, {"prompt": "x", "n": 11}, "n"),
        (DRAW, {"prompt": "x", "stream": True}, "stream"),
        (SPEAK, {"input": "x"}, "voice"),
        (SPEAK, {"input": "x" * 4097, "voice": "alloy"}, "input"),
        (SPEAK, {"input": "x", "voice": "alloy", "response_format": "midi"}, "response_format"),
    ],
)
def test_the_broken_rule_is_named(path: str, body: dict[str, Any], param: str) -> None:
    status, error = refused(OPENAI, path, {"model": EMBEDDING, **body})
    assert (status, error["param"]) == (400, param)
