"""The real application against its own description: no answer of the server's fault, whatever is sent."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from serving import opened_app

schemathesis = pytest.importorskip("schemathesis")

# Of the libraries that send, and of those that decode what is sent.
pytestmark = pytest.mark.filterwarnings("ignore")


SOME = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def described(bundle, tmp_path_factory):
    """The service with all that it keeps, and images of any size in memory at once."""
    with opened_app(bundle, state=tmp_path_factory.mktemp("state")) as app:
        yield schemathesis.openapi.from_asgi("/openapi.json", app)


def sent(case) -> None:
    """Send what was drawn, and look at the answer."""
    answer = case.call(headers={"host": "localhost"})
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
