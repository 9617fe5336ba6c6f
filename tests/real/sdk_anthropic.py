"""anthropic (Python), as a user writes it."""

import functools

import sdk_run
from anthropic import Anthropic, AsyncAnthropic, DefaultAsyncHttpxClient, DefaultHttpxClient

told = sdk_run.told()
SAY = [{"role": "user", "content": "Say hello."}]


@functools.cache
def client(credential, by="auth_token", path=""):
    more = {"http_client": DefaultHttpxClient(http2=True)} if sdk_run.HTTP2 else {}
    return Anthropic(base_url=told["base"] + path, **{by: told[credential]}, **more)


def chat(credential="key", model=None, made=None, say=SAY):
    answer = (made or client(credential)).messages.create(
        model=model or told["model"], messages=say, max_tokens=24)
    return {"text": answer.content[0].text, "tokens": answer.usage.output_tokens,
            "reason": answer.stop_reason}


def stream(credential="key"):
    with client(credential).messages.stream(model=told["model"], messages=SAY,
                                            max_tokens=24) as events:
        found = sdk_run.pieces(events.text_stream)
        last = events.get_final_message()
    return dict(found, tokens=last.usage.output_tokens, done=last.stop_reason is not None)


def leave():
    made = client("key")

    def texts():
        with made.messages.stream(model=told["model"], messages=SAY, max_tokens=400) as events:
            yield from events.text_stream
    return sdk_run.leave(texts(), made)


def together():
    more = {"http_client": DefaultAsyncHttpxClient(http2=True)} if sdk_run.HTTP2 else {}
    made = AsyncAnthropic(base_url=told["base"], auth_token=told["key"], **more)

    async def one():
        async with made.messages.stream(model=told["model"], messages=SAY,
                                        max_tokens=24) as events:
            last = await events.get_final_message()
        return {"text": last.content[0].text, "tokens": last.usage.output_tokens}
    return sdk_run.together(one)


def models(credential="key"):
    return {"models": sorted(m.id for m in client(credential).models.list())}


sdk_run.run({
    "chat": chat, "stream": stream, "list": models,
    "together": together,
    "api_key chat": lambda: chat(made=client("key", "api_key")),
    "jwt chat": lambda: chat("jwt"), "jwt stream": lambda: stream("jwt"),
    "jwt list": lambda: models("jwt"), "narrow list": lambda: models("narrow"),
    "401 key": lambda: chat("wrong"), "401 expired": lambda: chat("expired"),
    "401 forged": lambda: chat("forged"), "401 stream": lambda: stream("wrong"),
    "401 list": lambda: models("wrong"),
    "403 model": lambda: chat("other"), "403 jwt": lambda: chat("jwt_other"),
    "403 stream": lambda: stream("other"),
    "404 model": lambda: chat("key", "missing"),
    "401 large": lambda: chat("wrong", say=sdk_run.LARGE),
    "403 large": lambda: chat("nochat", say=sdk_run.LARGE),
    "404 large": lambda: chat(made=client("key", path="/v1/messages"), say=sdk_run.LARGE),
    "413 large": lambda: chat(say=sdk_run.LARGE),
}, alone={
    "leave": leave, "limited chats": lambda: [chat("limited"), chat("limited")][1],
    "budget chat": lambda: chat("budget"),
})
