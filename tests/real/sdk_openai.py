"""openai-python, as a user writes it."""

import functools

import sdk_run
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI

told = sdk_run.told()
SAY = [{"role": "user", "content": "Say hello."}]


@functools.cache
def client(credential, path="/v1"):
    more = {"http_client": DefaultHttpxClient(http2=True)} if sdk_run.HTTP2 else {}
    return OpenAI(base_url=told["base"] + path, api_key=told[credential], **more)


def chat(credential="key", model=None, say=SAY, path="/v1"):
    answer = client(credential, path).chat.completions.create(
        model=model or told["model"], messages=say, max_tokens=24)
    return {"text": answer.choices[0].message.content, "tokens": answer.usage.completion_tokens,
            "reason": answer.choices[0].finish_reason}


def stream(credential="key", usage=True):
    counted = []

    def texts():
        more = {"stream_options": {"include_usage": True}} if usage else {}
        for part in client(credential).chat.completions.create(
                model=told["model"], messages=SAY, max_tokens=24, stream=True, **more):
            if part.usage:
                counted.append(part.usage.completion_tokens)
            if part.choices:
                yield part.choices[0].delta.content
    found = sdk_run.pieces(texts())
    return dict(found, tokens=counted[0] if counted else None, done=True)


def leave():
    made = client("key")

    def texts():
        with made.chat.completions.create(model=told["model"], messages=SAY, max_tokens=400,
                                          stream=True) as parts:
            yield from (part.choices[0].delta.content for part in parts if part.choices)
    return sdk_run.leave(texts(), made)


def together():
    more = {"http_client": DefaultAsyncHttpxClient(http2=True)} if sdk_run.HTTP2 else {}
    made = AsyncOpenAI(base_url=told["base"] + "/v1", api_key=told["key"], **more)

    async def one():
        text = ""
        async for part in await made.chat.completions.create(
                model=told["model"], messages=SAY, max_tokens=24, stream=True,
                stream_options={"include_usage": True}):
            text += part.choices[0].delta.content or "" if part.choices else ""
        return {"text": text, "tokens": part.usage.completion_tokens}
    return sdk_run.together(one)


def completions():
    parts = client("key").completions.create(model=told["model"], prompt="Once", max_tokens=24,
                                             stream=True)
    return sdk_run.pieces(part.choices[0].text for part in parts if part.choices)


def responses():
    kinds = []

    def texts():
        for event in client("key").responses.create(model=told["model"], input="Say hello.",
                                                    max_output_tokens=24, stream=True):
            kinds.append(event.type)
            yield event.delta if event.type == "response.output_text.delta" else ""
    return dict(sdk_run.pieces(texts()), last=kinds[-1])


def models(credential="key"):
    return {"models": sorted(m.id for m in client(credential).models.list())}


def embed(credential="key"):
    found = client(credential).embeddings.create(model=told["embed"], input=["one", "two"]).data
    return {"vectors": len(found), "size": len(found[0].embedding)}


sdk_run.run({
    "chat": chat, "stream": stream, "stream without usage": lambda: stream(usage=False),
    "together": together,
    "completions": completions, "responses": responses, "list": models,
    "retrieve": lambda: {"models": [client("key").models.retrieve(told["model"]).id]},
    "embed": embed,
    "jwt chat": lambda: chat("jwt"), "jwt stream": lambda: stream("jwt"),
    "jwt list": lambda: models("jwt"), "narrow list": lambda: models("narrow"),
    "401 key": lambda: chat("wrong"), "401 expired": lambda: chat("expired"),
    "401 forged": lambda: chat("forged"), "401 stream": lambda: stream("wrong"),
    "401 list": lambda: models("wrong"),
    "403 model": lambda: chat("other"), "403 verb": lambda: embed("narrow"),
    "403 jwt": lambda: chat("jwt_other"), "403 stream": lambda: stream("other"),
    "404 model": lambda: chat("key", "missing"),
    "404 retrieve": lambda: client("key").models.retrieve("missing"),
    "401 large": lambda: chat("wrong", say=sdk_run.LARGE),
    "403 large": lambda: chat("nochat", say=sdk_run.LARGE),
    "404 large": lambda: chat(say=sdk_run.LARGE, path="/v1/nope"),
    "413 large": lambda: chat(say=sdk_run.LARGE),
}, alone={
    "leave": leave, "limited chats": lambda: [chat("limited"), chat("limited")][1],
    "budget chat": lambda: chat("budget"),
})
