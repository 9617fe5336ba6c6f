"""ollama-python, as a user writes it."""

import contextlib
import functools

import sdk_run
from ollama import AsyncClient, Client

told = sdk_run.told()
SAY = [{"role": "user", "content": "Say hello."}]
SHORT = {"num_predict": 24}


def settings(credential, path=""):
    fields = {"Authorization": "Bearer " + told[credential]} if credential else {}
    return {"host": told["base"] + path, "headers": fields, "http2": sdk_run.HTTP2}


@functools.cache
def client(credential, path=""):
    return Client(**settings(credential, path))


def chat(credential="key", model=None, say=SAY, path=""):
    answer = client(credential, path).chat(model=model or told["model"], messages=say, options=SHORT)
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


def leave():
    made = client("key")

    def texts():
        with contextlib.closing(made.chat(model=told["model"], messages=SAY, stream=True,
                                          options={"num_predict": 400})) as parts:
            yield from (part.message.content for part in parts)
    return sdk_run.leave(texts(), made)


def together():
    made = AsyncClient(**settings("key"))

    async def one():
        text = ""
        async for part in await made.chat(model=told["model"], messages=SAY, options=SHORT,
                                          stream=True):
            text += part.message.content
        return {"text": text, "tokens": part.eval_count}
    return sdk_run.together(one)


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
    "show": show, "together": together,
    "jwt chat": lambda: chat("jwt"), "jwt stream": lambda: stream("jwt"),
    "jwt list": lambda: models("jwt"), "narrow list": lambda: models("narrow"),
    "401 none": lambda: chat(None), "401 key": lambda: chat("wrong"),
    "401 expired": lambda: chat("expired"), "401 forged": lambda: chat("forged"),
    "401 stream": lambda: stream("wrong"), "401 list": lambda: models("wrong"),
    "403 model": lambda: chat("other"), "403 verb": lambda: embed("narrow"),
    "403 jwt": lambda: chat("jwt_other"), "403 stream": lambda: stream("other"),
    "404 model": lambda: chat("key", "missing"),
    "401 large": lambda: chat("wrong", say=sdk_run.LARGE),
    "403 large": lambda: chat("nochat", say=sdk_run.LARGE),
    "404 large": lambda: chat(say=sdk_run.LARGE, path="/nope"),
    "413 large": lambda: chat(say=sdk_run.LARGE),
}, alone={
    "leave": leave, "limited chats": lambda: [chat("limited"), chat("limited")][1],
    "budget chat": lambda: chat("budget"),
})
