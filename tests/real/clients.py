"""Clients that others wrote, as their users write them: `clients.py NAME` runs each case of one client.

What to use comes on standard input; a JSON line for each case goes out. Every client says hello, streams, uses a model
from hf.co, sends a field whose name has an underscore, and sends 25 MB, of which it must hear that they are too many.
"""

import asyncio
import json
import sys

told = json.load(sys.stdin)
LARGE = "x" * 25_000_000
EXTRA = {"session_id": "abc-123", "x_trace_id": "7"}
V1, BASE, KEY = told["base"] + "/v1", told["base"], told["key"]


def litellm(model, say, stream, provider="openai", base=V1):
    import litellm as library
    answer = library.completion(model="%s/%s" % (provider, model), api_base=base, api_key=KEY, max_tokens=24,
                                stream=stream, messages=[{"role": "user", "content": say}], extra_headers=EXTRA,
                                num_retries=0)
    if not stream:
        return [answer.choices[0].message.content]
    return [part.choices[0].delta.content for part in answer]


def litellm_ollama(model, say, stream):
    return litellm(model, say, stream, "ollama_chat", BASE)


def pydantic_ai(model, say, stream):
    from openai import AsyncOpenAI
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
    client = AsyncOpenAI(base_url=V1, api_key=KEY, default_headers=EXTRA, max_retries=0)
    agent = Agent(OpenAIChatModel(model, provider=OpenAIProvider(openai_client=client)),
                  model_settings={"max_tokens": 24})

    async def streamed():
        async with agent.run_stream(say) as result:
            return [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    return asyncio.run(streamed()) if stream else [agent.run_sync(say).output]


def langchain_openai(model, say, stream):
    from langchain_openai import ChatOpenAI
    client = ChatOpenAI(model=model, base_url=V1, api_key=KEY, max_tokens=24, default_headers=EXTRA, max_retries=0)
    return [part.content for part in client.stream(say)] if stream else [client.invoke(say).content]


def langchain_ollama(model, say, stream):
    from langchain_ollama import ChatOllama
    client = ChatOllama(model=model, base_url=BASE, num_predict=24,
                        client_kwargs={"headers": {"Authorization": "Bearer " + KEY, **EXTRA}})
    return [part.content for part in client.stream(say)] if stream else [client.invoke(say).content]


def llama_index(model, say, stream):
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.ollama import Ollama
    from ollama import Client
    client = Client(host=BASE, headers={"Authorization": "Bearer " + KEY, **EXTRA})
    made = Ollama(model=model, client=client, additional_kwargs={"num_predict": 24}, context_window=2048)
    say = [ChatMessage(role="user", content=say)]
    return [part.delta for part in made.stream_chat(say)] if stream else [made.chat(say).message.content]


def smolagents(model, say, stream):
    from smolagents import ChatMessage, MessageRole, OpenAIServerModel
    made = OpenAIServerModel(model_id=model, api_base=V1, api_key=KEY, max_tokens=24,
                             client_kwargs={"default_headers": EXTRA, "max_retries": 0})
    say = [ChatMessage(role=MessageRole.USER, content=[{"type": "text", "text": say}])]
    return [part.content for part in made.generate_stream(say)] if stream else [made.generate(say).content]


CLIENTS = {f.__name__: f for f in (litellm, litellm_ollama, pydantic_ai, langchain_openai, langchain_ollama, llama_index,
                                   smolagents)}
CASES = {
    "chat": (told["model"], "Say hello.", False),
    "stream": (told["model"], "Say hello.", True),
    "hf.co": (told["hf"], "Say hello.", False),
    "hf.co stream": (told["hf"], "Say hello.", True),
    "large": (told["model"], LARGE, False),
}

for name, case in CASES.items():
    try:
        pieces = [piece for piece in CLIENTS[sys.argv[1]](*case) if piece]
        found = {"text": "".join(pieces), "pieces": len(pieces)}
    except Exception as error:  # pylint: disable=broad-except
        found = {"raised": type(error).__name__, "message": "%s %s" % (error, error.__cause__ or "")}
    print(json.dumps(dict(found, case=name)), flush=True)
