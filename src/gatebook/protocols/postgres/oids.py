"""Types by their OIDs, as far as covering their values needs to know them (pg_type.dat)."""

from __future__ import annotations

# From DYNAMIC on they are made by CREATE TYPE and CREATE EXTENSION: enums, citext, composites …
DYNAMIC = 16384
UNTYPED = 0  # of COPY's columns nobody may know the type
JSON, JSONB, XML, BYTEA, CHAR, INT8, NUMERIC = 114, 3802, 142, 17, 18, 20, 1700
TEXTS = frozenset((25, 1043, 1042, 19, CHAR, 705, 1790, 2275))  # text varchar bpchar name char unknown refcursor cstring
# bool, int2, int4, floats, OIDs and names of objects, money, bits, addresses of networks, dates and times, uuid, geometry,
# transaction numbers: too short or too rigid for anything that a detector finds
_RIGID = (16, 21, 22, 23, 24, 26, 27, 28, 29, 30, 600, 601, 602, 603, 604, 628, 650, 700, 701, 718, 774, 790, 829, 869, 1082,
          1083, 1114, 1184, 1186, 1266, 1560, 1562, 2205, 2206, 2278, 2950, 3220, 5069)  # fmt: skip
RIGID = frozenset(_RIGID)
# Array type to element type
ARRAYS = {143: 142, 199: 114, 651: 650, 719: 718, 775: 774, 791: 790, 1000: 16, 1001: 17, 1002: 18, 1003: 19, 1005: 21,
          1007: 23, 1009: 25, 1010: 27, 1011: 28, 1012: 29, 1014: 1042, 1015: 1043, 1016: 20, 1017: 600, 1021: 700,
          1022: 701, 1028: 26, 1040: 829, 1041: 869, 1115: 1114, 1182: 1082, 1183: 1083, 1185: 1184, 1187: 1186, 1231: 1700,
          1263: 2275, 1270: 1266, 1561: 1560, 1563: 1562, 2201: 1790, 2951: 2950, 3221: 3220, 3807: 3802}  # fmt: skip
ELEMENTS = frozenset(ARRAYS.values())
RECORDS = frozenset((2249, 2287))
LEXEMES = frozenset((3614, 3615, 3643, 3645))  # tsvector, tsquery: their text form quotes like an array's
