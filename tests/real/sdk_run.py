"""What the three Python scripts share: read what to use, run each case, print one JSON line for each."""

import json
import os
import sys
import time


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


def run(cases):
    only = os.environ.get("ONLY")
    for name, case in cases.items():
        if only not in (None, name):
            continue
        try:
            found = case()
        except Exception as error:  # pylint: disable=broad-except
            found = {"raised": type(error).__module__.split(".")[0] + "." + type(error).__name__,
                     "status": getattr(error, "status_code", None), "message": str(error)}
        print(json.dumps(dict(found, case=name)), flush=True)
