"""Where the built programs are: OLLAMA_SIM and SIM_LOAD, set by meson."""

import os

import pytest

import compare


def program(variable):
    path = os.environ.get(variable)
    if not path or not os.access(path, os.X_OK):
        pytest.fail("%s must name the built program" % variable)
    return path


@pytest.fixture(scope="session")
def shared_sim():
    sim = compare.Sim(program("OLLAMA_SIM"))
    yield sim
    sim.close()


@pytest.fixture
def start():
    """start("--slots", "2") -> a fresh sim, ended after the test."""
    sims = []

    def begin(*args):
        sim = compare.Sim(program("OLLAMA_SIM"), *args)
        sims.append(sim)
        return sim

    yield begin
    for sim in sims:
        sim.close()
        assert sim.process.returncode == 0


@pytest.fixture
def sim_load():
    return program("SIM_LOAD")
