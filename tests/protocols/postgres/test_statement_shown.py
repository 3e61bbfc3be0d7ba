"""A text in the log keeps its literals only where it is about rows, and never its comments."""

import pytest

from gatebook.masking.detectors import NAMES
from gatebook.protocols.postgres.asked import shown

SECRETS = [
    "ALTER ROLE x PASSWORD\n'hunter two'",
    "ALTER ROLE x PASSWORD/**/'hunter two'",
    "ALTER ROLE x PASSWORD -- c\n'hunter two'",
    "ALTER ROLE x PASSWORD U&'hunter two'",
    "ALTER ROLE x PASSWORD 'hunt'\n'hunter two'",
    "CREATE USER x PASSWORD 'hunter two'",
    "CREATE SUBSCRIPTION s CONNECTION 'host=h password=''hunter two''' PUBLICATION p",
    "CREATE USER MAPPING FOR x SERVER s OPTIONS (password 'hunter two')",
    "DO $$ begin perform 'hunter two'; end $$",
    "SELECT dblink_connect('password=hunter two')",
    "SET app.token = 'hunter two'",
    "SELECT set_config('app.token', 'hunter two', false)",
    "NOTIFY a, 'hunter two'",
    "EXECUTE p('hunter two')",
    "SELECT 1; ALTER ROLE x PASSWORD E'hunter two'",
    "ALTER ROLE x PASWORD 'hunter two'",
    "SELECT 1 -- hunter two",
    "SELECT /* hunter /* two */ hunter two */ 1",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_in_a_text_is_not_in_the_log(text: str) -> None:
    assert "hunter" not in shown(text, (), False, NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT name FROM shops WHERE city = 'Bern'",
        "UPDATE shops SET city = 'Bern -- not a comment' WHERE id = 1",
        "EXPLAIN DELETE FROM shops WHERE city = '/* Bern */'",
        "SET search_path = 'shop'",
    ],
)
def test_a_text_about_rows_is_shown_as_it_is(text: str) -> None:
    assert shown(text, (), False, NAMES) == text


def test_a_text_near_masked_columns_is_shown_without_literals_and_parameters() -> None:
    assert shown("SELECT 1 WHERE a = 'x' OR a = $1", (b"secret",), True, NAMES) == "SELECT $1 WHERE a = $2 OR a = $1"


def test_of_a_binary_value_the_length_is_shown_whatever_its_bytes_spell() -> None:
    card = (4111111111111111).to_bytes(8)
    number = (0x000E1B0C2A4B7147).to_bytes(8)  # as it happens, all of it ASCII
    assert shown("SELECT $1, $2", (card, number), False, NAMES) == "SELECT $1, $2 -- 8 bytes, 8 bytes"
    assert shown("SELECT $1", (b"two\nlines",), False, NAMES) == "SELECT $1 -- two\nlines"


def test_what_was_bound_to_a_text_about_rows_is_shown() -> None:
    assert shown("SELECT $1 -- note", (b"7",), False, NAMES) == "SELECT $1 -- 7"
