"""The section ``recording``: optional as a whole, and never an identity where its public key belongs."""

from __future__ import annotations

from pathlib import Path

import pyrage
import pytest
from tests.config.written import WHOLE, changed, written

from gatebook.config import load
from gatebook.errors import ConfigError

KEY = "age1n6xjhgm0fpwx8w9qu4rkga6r8jtp6r6d4wh3hqqmweuyx6l6esns2qd3p2"


def test_recordings_have_a_folder_and_recipients(tmp_path: Path) -> None:
    recording = load(written(tmp_path)).recording
    assert recording is not None
    assert (recording.folder, recording.recipients, recording.required) == (tmp_path / "recordings", (KEY,), True)


def test_without_the_section_nothing_is_recorded(tmp_path: Path) -> None:
    start, _, rest = WHOLE.partition("recording:\n")
    assert load(written(tmp_path, start + rest[rest.index("limits:") :])).recording is None


@pytest.mark.parametrize("keys", ["[]", "[age1nonsense]", f"[{KEY[:-1]}]", "[7]", f"[{KEY}, ssh-ed25519 AAAA]"])
def test_every_recipient_is_one_that_can_read(tmp_path: Path, keys: str) -> None:
    with pytest.raises(ConfigError, match="recording"):
        load(changed(tmp_path, (f"[{KEY}]", keys)))


def test_an_identity_among_the_recipients_is_not_shown(tmp_path: Path) -> None:
    secret = str(pyrage.x25519.Identity.generate())
    with pytest.raises(ConfigError, match="a value not shown here: expected the public key") as caught:
        load(changed(tmp_path, (KEY, secret)))
    assert secret[:20] not in str(caught.value)
