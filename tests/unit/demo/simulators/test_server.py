"""The simulators' server reads what the real services read, and remembers no more than it says."""

from __future__ import annotations

import http.client
import json
import socket
import time
import tracemalloc

import pytest

from maas_api.demo.simulators import server, words
from maas_api.demo.simulators.model_server import model_server
from maas_api.demo.simulators.server import MAX_BODY, Binary, Received, Record, Simulator, Whole


def request(body: bytes, path: str = "/") -> Received:
    return Received("POST", path, (), body, None)


def test_a_body_of_32_mib_is_answered_whole_and_in_chunks() -> None:
    frame = json.dumps({"model": "m", "messages": [{"role": "user", "content": "@"}]}).encode()
    body = frame.replace(b"@", b"word " * ((MAX_BODY - len(frame)) // 5))
    with Simulator("model server", model_server("m"), pause=0) as running:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
        for sent, chunked in (
            (body, False),
            (iter([body[at : at + 65536] for at in range(0, len(body), 65536)]), True),
        ):
            connection.request("POST", "/v1/chat/completions", body=sent, encode_chunked=chunked)
            answer = connection.getresponse()
            assert json.loads(answer.read())["choices"][0]["message"]["content"] == "To be "
            assert len(running.received[-1].body) == len(body)
        connection.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_larger_body_is_refused_in_the_sdks_shape_before_it_is_read(chunked: bool) -> None:
    with (
        Simulator("model server", model_server("m")) as running,
        socket.create_connection(("127.0.0.1", running.port)) as peer,
    ):
        framing = (
            f"Transfer-Encoding: chunked\r\n\r\n{MAX_BODY + 1:x}\r\n"
            if chunked
            else f"Content-Length: {MAX_BODY + 1}\r\n\r\n"
        )
        peer.sendall(f"POST /v1/messages HTTP/1.1\r\nHost: x\r\n{framing}".encode())
        answer = http.client.HTTPResponse(peer)
        answer.begin()
        assert answer.status == 413
        assert json.loads(answer.read())["error"]["type"] == "request_too_large"
        assert len(running.received) == 0


def test_a_broken_framing_is_refused() -> None:
    with (
        Simulator("model server", model_server("m")) as running,
        socket.create_connection(("127.0.0.1", running.port)) as peer,
    ):
        peer.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
        answer = http.client.HTTPResponse(peer)
        answer.begin()
        assert answer.status == 400


def test_a_body_that_is_not_json_comes_as_it_is() -> None:
    with Simulator("sound", lambda _: Binary("audio/wav", b"RIFF")) as running:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=5)
        connection.request("POST", "/")
        answer = connection.getresponse()
        assert (answer.headers["content-type"], answer.read()) == ("audio/wav", b"RIFF")
        connection.close()


def test_a_fault_of_the_simulator_is_told_as_its_own() -> None:
    def broken(_: Received) -> Whole:
        raise KeyError("nobody thought of this")

    with Simulator("broken", broken) as running:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=5)
        connection.request("POST", "/")
        answer = connection.getresponse()
        assert (answer.status, b"nobody thought of this" in answer.read()) == (500, True)
        connection.close()


def test_the_record_keeps_heads_for_long_and_bodies_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "KEPT", 5)
    monkeypatch.setattr(server, "KEPT_BYTES", 100)
    record = Record()
    for number in range(4):
        record.append(request(b"x" * 40, str(number)))
    assert [(each.path, len(each.body)) for each in record] == [("0", 0), ("1", 0), ("2", 40), ("3", 40)]
    record.append(request(b"y" * 1000, "4"))
    assert [len(each.body) for each in record] == [0, 0, 0, 0, 1000]
    for number in range(5, 20):
        record.append(request(b"z" * (number % 3 * 20), str(number)))
    assert [each.path for each in record] == ["15", "16", "17", "18", "19"]
    assert sum(len(each.body) for each in record) <= 100


@pytest.mark.parametrize(
    "text", [" " * (1 << 22), "a" * (1 << 22), "a " * (1 << 21), "!" * (1 << 22), "\n \t" * (1 << 20)]
)
def test_counting_is_linear_whatever_the_text(text: str) -> None:
    tracemalloc.start()
    begun = time.process_time()
    words.count(text)
    spent, (_, peak) = time.process_time() - begun, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert spent < 10  # a quadratic reader would need hours
    assert peak < 10 << 20


def test_tokens_joined_are_the_text() -> None:
    for text in ("To be ", "  Hello!  How\nare you?  \n", "", "a"):
        assert "".join(words.tokens(text)) == text
        assert len(words.tokens(text)) == words.count(text)
