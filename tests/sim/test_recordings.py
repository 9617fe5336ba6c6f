"""ollama-sim says what the real Ollama 0.24.0 said."""

import pytest

import cases
import compare
import wire


def test_every_case_is_recorded():
    assert [compare.case_name(p) for p in compare.recordings()] == [name for name, _ in cases.CASES]
    for path, (_, request) in zip(compare.recordings(), cases.CASES):
        assert wire.load(path)[0] == request


def test_all_recordings(shared_sim):
    # In one test: they depend on each other's order (load, unload).
    problems = [compare.compare_one(path, shared_sim.address) for path in compare.recordings()]
    assert [p for p in problems if p] == []


@pytest.mark.parametrize("old, new", [
    (b"Content-Type: application/x-ndjson", b"Content-Type: application/json"),
    (b'"done_reason":"length"', b'"done_reason":"unload"'),
    (b'"done":true', b'"dome":true'),
    (b"0\r\n\r\n", b"0\r\n\r\n "),
    (b'"eval_count":4', b'"eval_count":5'),
])
def test_the_comparison_sees_a_change(shared_sim, tmp_path, old, new):
    path = next(p for p in compare.recordings() if p.endswith("-chat-stream.http"))
    request, response, closed = wire.load(path)
    assert old in response
    changed = tmp_path / "000-chat-stream.http"
    response = response.replace(old, new)
    wire.store(str(changed), request, response, closed)
    assert compare.compare_one(str(changed), shared_sim.address) != ""
