"""What a client says behind its target's name, where it can say nothing else."""

import pytest

from gatebook.model import Hold
from gatebook.protocols.http.door import Knock, Turned, knock
from gatebook.protocols.http.message import Request

TOKEN = (b"authorization", b"Bearer t")


def at(path: str, *fields: tuple[bytes, bytes]) -> Knock | Turned:
    return knock(Request("GET", "https", "gateway.example.org", path, (TOKEN, *fields)), "")


def test_role_purpose_and_hold_may_stand_in_the_address() -> None:
    found = at("/k8s/prod+role=deployer+why=OPS%207+hold=wait/api/v1/pods")
    assert isinstance(found, Knock)
    assert (found.target, found.role, found.purpose, found.hold) == ("prod", "deployer", "OPS 7", Hold.WAIT)
    assert (found.request.target, found.prefix) == ("/api/v1/pods", "/k8s/prod+role=deployer+why=OPS%207+hold=wait")
    assert found.protocol == "kubernetes"


@pytest.mark.parametrize(
    "options",
    ["+", "+role", "+role=", "+role=a+role=b", "+token=x", "+Role=a", "+role=%ff", "+hold=never", "+why=a%0ab"],
)
def test_what_cannot_be_read_there_is_refused(options: str) -> None:
    found = at(f"/k8s/prod{options}/api")
    assert isinstance(found, Turned), found
    assert found.status == 400


def test_a_client_does_not_say_it_twice() -> None:
    found = at("/http/billing+role=a/", (b"gatebook-role", b"b"))
    assert isinstance(found, Turned)
    assert found.status == 400


def test_a_path_tells_which_kind_of_target_is_meant() -> None:
    found = at("/http/prod/api/v1/pods")
    assert isinstance(found, Knock)
    assert found.protocol == "http"
