"""A real Open WebUI whose backend is corral over TLS, used by a person in a real browser.

Screenshots go to the folder that REAL_SHOTS names: they are there to be looked at.
"""

import os
import signal
import time

import pytest

import h1
import harness
import stand

MODEL = "tiny:latest"
CUT = "Response payload is not completed"
LONG = "Tell me a very long story about a horse."
QUEUE_FULL = "Too many of your requests are waiting already. Please try again in a few seconds."
LIMITED = ('Too many requests: the limit is 1 request in 3600 seconds ("rph"). '
           "Please try again in 60 minutes.")
NO_VERB = "Your credential does not allow this operation (chat)."


@pytest.fixture(scope="module")
def replica():
    """One slot and an Ollama of its own: these tests kill it."""
    server = stand.Ollama()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def gateway(replica, make_gateway):
    made = make_gateway([replica])
    yield made
    made.corral.finish()


@pytest.fixture(scope="module")
def webui(gateway, tmp_path_factory):
    made = stand.OpenWebUI(tmp_path_factory.mktemp("webui"), gateway.url, gateway.keys["webui"],
                           gateway.authority.ca)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def page(webui, tmp_path_factory):
    """Signed in, as an administrator who sees Open WebUI for the first time."""
    browser = stand.Browser(tmp_path_factory.mktemp("browser"))
    try:
        browser.do("open", url=webui.url)
        browser.shot("1-sign-in")
        browser.do("sign_in", email=webui.email, password=webui.password)
        yield browser
    finally:
        browser.stop()


def limit_answers(webui, tokens):
    """How long answers get: the base model seldom ends by itself."""
    params = {"function_calling": "legacy", "max_tokens": tokens}
    config = webui.api("GET", "/api/v1/configs/models")
    config["DEFAULT_MODEL_PARAMS"] = params
    webui.api("POST", "/api/v1/configs/models", config)


def say(page, text, tokens, webui):
    limit_answers(webui, tokens)
    page.do("new_chat", model=MODEL)
    page.do("send", text=text)


def accesses(gateway, path="/api/chat"):
    return [line for line in gateway.corral.logged("access") if line["route"] == path]


def new_accesses(gateway, before, count):
    harness.wait_for(lambda: len(accesses(gateway)) >= before + count, 10, "access lines")
    return accesses(gateway)[before:]


def test_sign_in_and_chat(page, webui, gateway):
    """The text is seen to grow, and corral saw one streamed chat of the tenant."""
    before = len(accesses(gateway))
    say(page, "Say hello.", 60, webui)
    page.do("grown", chars=40)
    page.shot("2-growing")
    page.do("end")
    page.shot("3-whole")
    found = page.do("look")
    stand.note("Open WebUI chat: grew %d times, first text after %d ms, last after %d ms" % (
        found["grew"], found["first_ms"], found["last_ms"]))
    assert found["grew"] >= 15 and len(found["answer"]) > 100 and not found["toasts"], found
    lines = new_accesses(gateway, before, 1)
    assert [(x["tenant"], x["status"]) for x in lines] == [("webui", 200)], lines
    gateway.corral.wait_idle()


def test_stop_frees_the_replica(page, webui, gateway, replica):
    """corral's slot is free and the runner rests within 3 s, long before the answer's own end."""
    say(page, LONG, 1500, webui)
    page.do("grown", chars=80)
    assert gateway.corral.slots_taken() == 1
    page.shot("4-before-stop")
    start = time.monotonic()
    assert page.do("stop")["status"] == 200
    harness.wait_for(lambda: gateway.corral.slots_taken() == 0, 3, "the slot after Stop")
    freed = time.monotonic() - start
    time.sleep(0.3)
    used = replica.cpu()
    time.sleep(2)
    used = replica.cpu() - used
    found = page.do("look")
    page.shot("5-after-stop")
    time.sleep(0.5)
    later = page.do("look")
    stand.note("Open WebUI Stop: slot free after %.2f s; the runner then used %.2f s of processor in 2 s"
               % (freed, used))
    assert used < 0.3 and not found["stop"] and found["answer"] == later["answer"], (used, found)
    assert gateway.ask(h1.post("/api/chat", harness.chat(stream=False), gateway.keys["full"]),
                       timeout=10).status == 200


def occupy(gateway, tenant, tokens=800):
    """A stream that holds the slot; the caller closes it."""
    client = gateway.client()
    client.send(h1.post("/api/chat", harness.chat(tokens=tokens), gateway.keys[tenant]))
    client.until(b"\r\n\r\n")
    return client


def test_stop_while_waiting(page, webui, gateway):
    """Somebody else has the slot: Stop gives the place in the queue back at once."""
    with occupy(gateway, "full"):
        say(page, LONG, 100, webui)
        harness.wait_for(lambda: gateway.corral.waiting() == 1, 10, "a waiting chat")
        page.do("stoppable")
        page.shot("6-waiting")
        start = time.monotonic()
        page.do("stop")
        harness.wait_for(lambda: gateway.corral.waiting() == 0, 3, "an empty queue")
        stand.note("Open WebUI Stop while waiting: queue empty after %.2f s" % (
            time.monotonic() - start))
        assert gateway.corral.slots_taken() == 1
    gateway.corral.wait_idle(10)


def refused(page, webui, gateway, sentence, shot):
    """The sentence stands in the answer's box and in a toast, word for word."""
    say(page, "Say hello.", 40, webui)
    page.do("failed")
    time.sleep(0.3)
    found = page.do("look")
    page.shot(shot)
    stand.note("Open WebUI refusal: box %r, toast %r" % (found["answer"], found["toasts"]))
    assert found["answer"] == sentence, found
    assert found["toasts"] == [sentence], found
    assert not found["stop"] and gateway.corral.waiting() == 0


def test_refusal_of_a_full_queue(page, webui, gateway):
    gateway.set_tenant("webui", max_running=1, max_waiting=0)
    try:
        with occupy(gateway, "webui"):
            refused(page, webui, gateway, QUEUE_FULL, "7-queue-full")
    finally:
        gateway.set_tenant("webui")
    gateway.corral.wait_idle(10)


def test_refusal_of_a_tenant_without_the_right(page, webui, gateway):
    """The list still shows the model; the chat is refused with corral's own words."""
    gateway.set_tenant("webui", verbs=["list", "show"])
    try:
        refused(page, webui, gateway, NO_VERB, "8-forbidden")
    finally:
        gateway.set_tenant("webui")


def test_refusal_of_a_limit(page, webui, gateway):
    gateway.set_tenant("webui", limits=[{"name": "rph", "requests": 1, "window_s": 3600}])
    try:
        answer = gateway.ask(h1.post("/api/chat", harness.chat(), gateway.keys["webui"]))
        assert answer.status == 200
        refused(page, webui, gateway, LIMITED, "9-limited")
    finally:
        gateway.set_tenant("webui")


def cut(page, webui, gateway, kill, reason, shot):
    before = len(accesses(gateway))
    say(page, LONG, 1500, webui)
    page.do("grown", chars=60)
    kill()
    start = time.monotonic()
    page.do("failed", timeout=20)
    took = time.monotonic() - start
    time.sleep(0.3)
    found = page.do("look")
    page.shot(shot)
    stand.note("Open WebUI, %s: box after %.2f s, toast %r" % (shot, took, found["toasts"]))
    assert CUT in found["answer"] and len(found["answer"]) > 60 + len(CUT), found
    assert not found["stop"] and len(found["toasts"]) == 1, found
    lines = new_accesses(gateway, before, 1)
    harness.wait_for(lambda: gateway.corral.slots_taken() == 0, 10, "the slot after a death")
    assert [(x["status"], x["reason"]) for x in lines] == [(200, reason)], lines


def test_runner_killed_in_mid_answer(page, webui, gateway, replica):
    """Ollama itself ends such a stream cleanly, which would look like a whole answer."""
    def kill():
        for pid in replica.runners():
            os.kill(pid, signal.SIGKILL)
    cut(page, webui, gateway, kill, "error_in_stream", "9-runner-killed")


def test_replica_killed_in_mid_answer(page, webui, gateway, replica):
    """Server and runner die; a sentence in the chat, and the next chat after its return works."""
    try:
        cut(page, webui, gateway, replica.crash, "cut_in_stream",
            "10-replica-killed")
    finally:
        if not stand.alive(replica.pid):
            replica.start()
    harness.wait_for(lambda: gateway.ask(h1.post("/api/chat", harness.chat(stream=False),
                                                 gateway.keys["full"])).status == 200,
                     30, "the replica's return")
    say(page, "Say hello.", 40, webui)
    page.do("end")
    found = page.do("look")
    page.shot("11-back")
    assert len(found["answer"]) > 60 and CUT not in found["answer"] and not found["toasts"], found


def test_background_tasks(page, webui, gateway):
    """Title, tags and follow-ups are three more chats of the tenant; none of them fails."""
    wanted = {"ENABLE_TITLE_GENERATION": True, "ENABLE_TAGS_GENERATION": True,
              "ENABLE_FOLLOW_UP_GENERATION": True}
    config = webui.api("GET", "/api/v1/tasks/config")
    webui.api("POST", "/api/v1/tasks/config/update", dict(config, **wanted))
    before = len(accesses(gateway))
    try:
        say(page, "Say hello.", 40, webui)
        page.do("end", timeout=240)
        harness.wait_for(lambda: len(accesses(gateway)) >= before + 4, 240, "four chats")
    finally:
        webui.api("POST", "/api/v1/tasks/config/update", config)
    gateway.corral.wait_idle(10)
    time.sleep(1)
    lines, found = accesses(gateway)[before:], page.do("look")
    page.shot("12-background")
    stand.note("Open WebUI background tasks: %d chats, statuses %s, page title %r" % (
        len(lines), [x["status"] for x in lines], found["title"]))
    assert [x["status"] for x in lines] == [200] * 4 and not found["toasts"], (lines, found)
    assert len(found["answer"]) > 40, found
