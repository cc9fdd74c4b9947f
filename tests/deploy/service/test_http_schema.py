"""The real application against its own description: no answer of the server's fault, whatever is sent."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from serving import running

schemathesis = pytest.importorskip("schemathesis")

# Of the libraries that send, and of those that decode what is sent.
pytestmark = pytest.mark.filterwarnings("ignore")


SOME = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def described(bundle, tmp_path_factory):
    """The service with all that it keeps, as a process: its answers come from one event loop."""
    folder = tmp_path_factory.mktemp("served")
    with running(bundle, folder, state=folder / "state") as service:
        yield schemathesis.openapi.from_url(f"{service.address}/openapi.json")


def sent(case) -> None:
    """Send what was drawn, and look at the answer."""
    answer = case.call()
    assert answer.status_code < 500, (case.method, case.path, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"][0] == "application/problem+json"
        assert "\n" not in answer.json()["detail"]


@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
def test_no_answer_is_the_servers_fault(described, mode):
    tried = 0
    for found in described.get_all_operations():
        operation = found.ok()
        if operation.method == "get" and mode == "NEGATIVE":
            continue  # there is nothing to be wrong about
        drawn = operation.as_strategy(generation_mode=schemathesis.GenerationMode[mode])
        SOME(given(drawn)(sent))()
        tried += 1
    assert tried >= 2
