"""ollama-python, as a user writes it."""

import sdk_run
from ollama import Client

told = sdk_run.told()
SAY = [{"role": "user", "content": "Say hello."}]
SHORT = {"num_predict": 24}


def client(credential):
    fields = {"Authorization": "Bearer " + told[credential]} if credential else {}
    return Client(host=told["base"], headers=fields)


def chat(credential="key", model=None):
    answer = client(credential).chat(model=model or told["model"], messages=SAY, options=SHORT)
    return {"text": answer.message.content, "tokens": answer.eval_count,
            "reason": answer.done_reason}


def stream(credential="key"):
    last = []

    def texts():
        for part in client(credential).chat(model=told["model"], messages=SAY, options=SHORT,
                                            stream=True):
            last[:] = [part]
            yield part.message.content
    found = sdk_run.pieces(texts())
    return dict(found, tokens=last[0].eval_count, done=last[0].done)


def generate():
    parts = client("key").generate(model=told["model"], prompt="Once", options=SHORT, stream=True)
    return sdk_run.pieces(part.response for part in parts)


def models(credential="key"):
    return {"models": sorted(m.model for m in client(credential).list().models)}


def embed(credential="key"):
    found = client(credential).embed(model=told["embed"], input=["one", "two"]).embeddings
    return {"vectors": len(found), "size": len(found[0])}


def show():
    return {"family": client("key").show(told["model"]).details.family}


sdk_run.run({
    "chat": chat, "stream": stream, "generate": generate, "list": models, "embed": embed,
    "show": show,
    "jwt chat": lambda: chat("jwt"), "jwt stream": lambda: stream("jwt"),
    "jwt list": lambda: models("jwt"), "narrow list": lambda: models("narrow"),
    "401 none": lambda: chat(None), "401 key": lambda: chat("wrong"),
    "401 expired": lambda: chat("expired"), "401 forged": lambda: chat("forged"),
    "401 stream": lambda: stream("wrong"), "401 list": lambda: models("wrong"),
    "403 model": lambda: chat("other"), "403 verb": lambda: embed("narrow"),
    "403 jwt": lambda: chat("jwt_other"), "403 stream": lambda: stream("other"),
    "404 model": lambda: chat("key", "missing"),
    "limited chat": lambda: chat("limited"), "budget chat": lambda: chat("budget"),
})
