"""More of Python's drivers through the gateway, psycopg 2 and pg8000, and what ORMs ask: SQLAlchemy and Django."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pg8000.dbapi
import psycopg2
import psycopg2.extensions
import pytest
import sqlalchemy
from sqlalchemy.exc import ProgrammingError
from tests.testbed.gateways import HEARS_AT_ONCE, LiveGateway

from gatebook.cli.demo.world import clean_environment

pytestmark = pytest.mark.real

SSNS = [f"***-**-43{number}" for number in range(20, 28)]
DJANGO = """
import json, os, sys
import django
from django.conf import settings
settings.configure(DATABASES={"default": {
    "ENGINE": "django.db.backends.postgresql", "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"],
    "NAME": os.environ["PGDATABASE"], "USER": os.environ["PGUSER"], "PASSWORD": os.environ["PGPASSWORD"],
    "OPTIONS": {"sslmode": "verify-full", "sslrootcert": os.environ["PGSSLROOTCERT"], "options": os.environ["PGOPTIONS"]},
}}, USE_TZ=True, TIME_ZONE="UTC")
django.setup()
from django.core.management import call_command
from django.db import connection, models, transaction
from django.db.utils import ProgrammingError

class Customer(models.Model):
    name = models.TextField()
    ssn = models.TextField()
    class Meta:
        app_label, db_table, managed = "shop", "customers", False

told = {}
with connection.cursor() as cursor:
    told["tables"] = connection.introspection.table_names(cursor)
    told["columns"] = [one.name for one in connection.introspection.get_table_description(cursor, "customers")]
    told["keys"] = list(connection.introspection.get_primary_key_columns(cursor, "customers"))
    told["constraints"] = len(connection.introspection.get_constraints(cursor, "customers"))
told["ssns"] = list(Customer.objects.order_by("id").values_list("ssn", flat=True))
told["one"] = Customer.objects.get(id=1).ssn
told["paged"] = [one.ssn for one in Customer.objects.order_by("id").iterator(chunk_size=3)]
told["count"] = Customer.objects.filter(id__gt=2).count()
try:
    with transaction.atomic():
        Customer.objects.all().delete()
except ProgrammingError as error:
    told["refused"] = error.__cause__.sqlstate
told["after"] = Customer.objects.count()
call_command("inspectdb", "customers", stdout=sys.stderr)
print(json.dumps(told))
"""


@pytest.fixture(params=["shop", "shop-tls"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# psycopg 2 ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def psycopg2_connection(gateway: LiveGateway, target: str) -> Iterator[Any]:
    made = psycopg2.connect(
        host="localhost", port=gateway.port, dbname=target, user="shop_app", password=gateway.mint(), options=HEARS_AT_ONCE,
        sslmode="verify-full", sslrootcert=str(gateway.world.authority.path),
    )  # fmt: skip
    yield made
    made.close()


def test_psycopg2_is_masked_and_refused(psycopg2_connection: Any) -> None:
    with psycopg2_connection.cursor() as cursor:
        cursor.execute("SELECT ssn, %s::int FROM customers WHERE id = %s", (7, 1))
        assert cursor.fetchone() == ("***-**-4320", 7)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="no-delete-without-where"):
            cursor.execute("DELETE FROM customers")
        with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
            cursor.execute("SELECT 1")
        psycopg2_connection.rollback()
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_psycopg2s_named_cursors_and_notifications_are_covered(psycopg2_connection: Any) -> None:
    with psycopg2_connection.cursor("pages") as pages:
        pages.itersize = 3
        pages.execute("SELECT ssn FROM customers ORDER BY id")
        assert [row[0] for row in pages] == SSNS
    psycopg2_connection.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
    with psycopg2_connection.cursor() as cursor:
        cursor.execute("LISTEN psycopg2_news")
        cursor.execute("NOTIFY psycopg2_news, 'charged 4242 4242 4242 4242'")
    psycopg2_connection.poll()
    (heard,) = psycopg2_connection.notifies
    assert heard.payload.startswith("charged ")
    assert "4242 4242 4242" not in heard.payload


# pg8000 ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pg8000_connection(gateway: LiveGateway, target: str) -> Iterator[Any]:
    trust = ssl.create_default_context(cafile=str(gateway.world.authority.path))
    made = pg8000.dbapi.connect(
        host="localhost", port=gateway.port, database=target, user="shop_app", password=gateway.mint(), ssl_context=trust
    )
    yield made
    made.close()


def test_pg8000_is_masked_and_refused(pg8000_connection: Any) -> None:
    cursor = pg8000_connection.cursor()
    cursor.execute("SELECT ssn FROM customers WHERE id = %s", (1,))
    assert cursor.fetchone() == ["***-**-4320"]
    with pytest.raises(pg8000.dbapi.DatabaseError) as caught:
        cursor.execute("DELETE FROM customers WHERE true OR id = %s", (1,))
    assert caught.value.args[0]["C"] == "42501"
    assert "no-delete-without-where" in caught.value.args[0]["M"]
    pg8000_connection.rollback()
    cursor.execute("SELECT 1")
    assert cursor.fetchone() == [1]


# ORMs --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["psycopg", "psycopg2", "pg8000"])
def engine(request: pytest.FixtureRequest, gateway: LiveGateway, target: str) -> Iterator[sqlalchemy.Engine]:
    trust = str(gateway.world.authority.path)
    settings: dict[str, Any] = {"sslmode": "verify-full", "sslrootcert": trust, "options": HEARS_AT_ONCE}
    if request.param == "pg8000":
        settings = {"ssl_context": ssl.create_default_context(cafile=trust)}
    url = sqlalchemy.URL.create(f"postgresql+{request.param}", "shop_app", gateway.mint(), "localhost", gateway.port, target)
    made = sqlalchemy.create_engine(url, connect_args=settings)
    yield made
    made.dispose()


def test_sqlalchemy_reflects_what_is_there(engine: sqlalchemy.Engine) -> None:
    inspector = sqlalchemy.inspect(engine)
    assert {"customers", "orders"} <= set(inspector.get_table_names())
    known = sqlalchemy.MetaData()
    known.reflect(engine, only=["customers", "orders"])
    assert "ssn" in known.tables["customers"].columns
    assert [column.name for column in known.tables["customers"].primary_key] == ["id"]
    assert known.tables["orders"].foreign_keys


def test_sqlalchemy_is_masked_and_refused(engine: sqlalchemy.Engine) -> None:
    with engine.connect() as connection:
        found = connection.execute(sqlalchemy.text("SELECT ssn FROM customers WHERE id = :id"), {"id": 1}).scalar()
        assert found == "***-**-4320"
        with pytest.raises(ProgrammingError, match="no-delete-without-where"):
            connection.execute(sqlalchemy.text("DELETE FROM customers"))
        connection.rollback()
        assert connection.execute(sqlalchemy.text("SELECT 1")).scalar() == 1


def test_django_finds_its_way_and_is_masked_and_refused(gateway: LiveGateway, target: str) -> None:
    settings = {**clean_environment(), **gateway.psql_environment(database=target), **gateway.tls_settings()}
    argv = [sys.executable, "-c", DJANGO]
    done = subprocess.run(argv, env=settings, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {"customers", "orders"} <= set(told["tables"])
    assert {"id", "name", "ssn"} <= set(told["columns"])
    assert (told["keys"], told["count"], told["after"], told["refused"]) == (["id"], 6, 8, "42501")
    assert told["constraints"] >= 1
    assert told["one"] == "***-**-4320"
    assert told["ssns"] == told["paged"] == SSNS
    assert "ssn = models." in done.stderr
