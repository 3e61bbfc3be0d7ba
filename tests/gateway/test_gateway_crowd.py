"""Places at the door and inside: silent connections do not take the places of sessions."""

from __future__ import annotations

from gatebook.gateway.crowd import Crowd

HERE, THERE = "192.0.2.1", "192.0.2.2"


def test_one_address_has_only_so_many_places_at_the_door_and_others_keep_theirs() -> None:
    crowd = Crowd(10, each_address=2)
    assert [crowd.come(number, HERE) for number in range(2)] == ["", ""]
    assert crowd.come(2, HERE).startswith("2 connections from your address")
    assert crowd.come(3, THERE) == ""


def test_the_door_has_an_end_whatever_the_addresses() -> None:
    crowd = Crowd(3, each_address=2)
    assert not any(crowd.come(number, f"192.0.2.{number}") for number in range(3))
    assert crowd.come(3, "192.0.2.3").startswith("too many connections")


def test_a_full_door_leaves_the_sessions_alone_and_full_sessions_the_door() -> None:
    crowd = Crowd(2, each_address=9)
    for name in ("a", "b"):
        assert crowd.come(name, HERE) == crowd.enter(name) == ""
    assert crowd.come("c", HERE) == ""
    assert crowd.enter("c").startswith("all 2 sessions")
    assert crowd.come("d", HERE) == crowd.come("e", HERE) == ""


def test_whoever_proves_who_they_are_or_leaves_makes_room_at_the_door() -> None:
    crowd = Crowd(5, each_address=1)
    assert crowd.come("a", HERE) == crowd.enter("a") == ""
    assert crowd.come("b", HERE) == ""
    crowd.leave("b")
    assert crowd.come("c", HERE) == ""


def test_a_session_that_leaves_makes_room_for_one_and_leaving_twice_for_no_more() -> None:
    crowd = Crowd(1, each_address=9)
    assert crowd.come("a", HERE) == crowd.enter("a") == crowd.come("b", HERE) == ""
    crowd.leave("a")
    crowd.leave("a")
    assert crowd.enter("b") == ""
    assert crowd.come("c", HERE) == ""
    assert crowd.enter("c")
