"""What the three Python scripts share: read what to use, run each case, print one JSON line for each."""

import asyncio
import json
import os
import sys
import time

# What the SDKs hand to their httpx.
HTTP2 = os.environ["PROTOCOL"] == "h2"


# 25 MB: what is refused early is refused while this is on its way.
LARGE = [{"role": "user", "content": "x" * 25_000_000}]


def told():
    """base, model, embed, and credentials by name."""
    return json.load(sys.stdin)


def pieces(texts):
    """Take a stream in: how many pieces of text came and how long after the first the last one."""
    text, times = "", []
    for piece in texts:
        if piece:
            text += piece
            times.append(time.monotonic())
    return {"text": text, "pieces": len(times), "spread_s": round(times[-1] - times[0], 3)}


def leave(texts, client):
    """Break off after five pieces, but stay."""
    for count, _ in enumerate(piece for piece in texts if piece):
        if count == 4:
            break
    texts.close()
    if HTTP2:
        client.close()  # httpx resets no stream
    left = time.time()
    time.sleep(3)
    return {"left": left}


def together(work):
    """One, then four at once, by a client for asyncio: threads must not share one of HTTP/2."""
    async def answers():
        return [await work(), *await asyncio.gather(work(), work(), work(), work())]
    return {"answers": asyncio.run(answers())}


def run(cases, alone):
    """Every case; those of `alone` only where ONLY names one."""
    only = os.environ.get("ONLY")
    for name, case in dict(cases, **(alone if only else {})).items():
        if only not in (None, name):
            continue
        try:
            found = case()
        except Exception as error:  # pylint: disable=broad-except
            found = {"raised": type(error).__module__.split(".")[0] + "." + type(error).__name__,
                     "status": getattr(error, "status_code", None), "message": str(error)}
        print(json.dumps(dict(found, case=name)), flush=True)
