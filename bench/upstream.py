"""``python -m bench.upstream PORT``: a model's server that costs next to nothing, in a process of its own.

It throws a request's body away and answers one constant, or 200 events 2 ms apart to whoever accepts an event stream.
"""

from __future__ import annotations

import asyncio
import sys

EVENTS = 200
APART = 0.002
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
BODY = b'{"object":"chat.completion","choices":[{"message":{"role":"assistant","content":"word"}}]}'
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
BEGUN = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, request after request."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await _discard(reader, head)
            if b"accept: text/event-stream" in head:
                writer.write(BEGUN)
                for _ in range(EVENTS):
                    writer.write(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
                    await writer.drain()
                    await asyncio.sleep(APART)
                writer.write(b"0\r\n\r\n")
            else:
                writer.write(WHOLE)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _discard(reader: asyncio.StreamReader, head: bytes) -> None:
    if b"transfer-encoding: chunked" in head:
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
        return
    left = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
    while left:
        left -= len(await reader.readexactly(min(left, 1 << 20)))


async def _main(port: int) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=1 << 21)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
