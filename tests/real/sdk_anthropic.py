"""anthropic (Python), as a user writes it."""

import sdk_run
from anthropic import Anthropic

told = sdk_run.told()
SAY = [{"role": "user", "content": "Say hello."}]


def client(credential):
    return Anthropic(base_url=told["base"], auth_token=told[credential])


def chat(credential="key", model=None, made=None):
    answer = (made or client(credential)).messages.create(
        model=model or told["model"], messages=SAY, max_tokens=24)
    return {"text": answer.content[0].text, "tokens": answer.usage.output_tokens,
            "reason": answer.stop_reason}


def stream(credential="key"):
    with client(credential).messages.stream(model=told["model"], messages=SAY,
                                            max_tokens=24) as events:
        found = sdk_run.pieces(events.text_stream)
        last = events.get_final_message()
    return dict(found, tokens=last.usage.output_tokens, done=last.stop_reason is not None)


def models(credential="key"):
    return {"models": sorted(m.id for m in client(credential).models.list())}


sdk_run.run({
    "chat": chat, "stream": stream, "list": models,
    "api_key chat": lambda: chat(made=Anthropic(base_url=told["base"], api_key=told["key"])),
    "jwt chat": lambda: chat("jwt"), "jwt stream": lambda: stream("jwt"),
    "jwt list": lambda: models("jwt"), "narrow list": lambda: models("narrow"),
    "401 key": lambda: chat("wrong"), "401 expired": lambda: chat("expired"),
    "401 forged": lambda: chat("forged"), "401 stream": lambda: stream("wrong"),
    "401 list": lambda: models("wrong"),
    "403 model": lambda: chat("other"), "403 jwt": lambda: chat("jwt_other"),
    "403 stream": lambda: stream("other"),
    "404 model": lambda: chat("key", "missing"),
    "limited chat": lambda: chat("limited"), "budget chat": lambda: chat("budget"),
})
