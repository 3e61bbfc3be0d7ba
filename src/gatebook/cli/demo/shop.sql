-- A small shop of invented people. The card numbers are the card schemes' own test numbers, the SSNs are from the
-- range that is reserved for advertisements, the key is the example of its maker's manual. Variables: owner_password, app_password.
CREATE ROLE shop_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE shop_app LOGIN PASSWORD :'app_password';
GRANT shop_app, pg_monitor TO shop_owner;
CREATE DATABASE shop OWNER shop_owner;
REVOKE ALL ON DATABASE shop FROM PUBLIC;
GRANT CONNECT ON DATABASE shop TO shop_app;
\getenv password PGPASSWORD
\connect shop
SET client_min_messages = warning;
GRANT USAGE, CREATE ON SCHEMA public TO shop_app;

-- The tables belong to shop_app, which may thus change and drop them: if it cannot, that is the gateway's doing.
SET ROLE shop_app;

CREATE TABLE customers (
    id      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name    text NOT NULL,
    email   text NOT NULL UNIQUE,
    ssn     text NOT NULL,
    card    text NOT NULL,
    city    text NOT NULL,
    joined  date NOT NULL
);

CREATE TABLE orders (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id  integer NOT NULL REFERENCES customers,
    item         text NOT NULL,
    amount       numeric(10, 2) NOT NULL CHECK (amount > 0),
    status       text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'paid', 'shipped', 'returned')),
    placed       timestamptz NOT NULL
);
CREATE INDEX orders_of_customer ON orders (customer_id);

CREATE TABLE notes (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id  integer NOT NULL REFERENCES customers,
    body         text NOT NULL
);

INSERT INTO customers (name, email, ssn, card, city, joined) VALUES
    ('Ada Quill',      'ada.quill@example.com',      '987-65-4320', '4242424242424242', 'Portland',  '2023-02-11'),
    ('Bram Hollis',    'bram.hollis@example.org',    '987-65-4321', '5555555555554444', 'Tulsa',     '2023-03-04'),
    ('Cleo Marsh',     'cleo@marsh.example',         '987-65-4322', '378282246310005',  'Duluth',    '2023-05-19'),
    ('Dov Lindqvist',  'dov.lindqvist@example.net',  '987-65-4323', '6011111111111117', 'Phoenix',   '2023-08-30'),
    ('Esme Okafor',    'esme@okafor.example',        '987-65-4324', '4000056655665556', 'Peoria',    '2024-01-07'),
    ('Finn Abara',     'finn.abara@example.com',     '987-65-4325', '5105105105105100', 'Augusta',   '2024-04-22'),
    ('Greta Sund',     'greta.sund@example.org',     '987-65-4326', '30569309025904',   'Rochester', '2024-09-15'),
    ('Hugo Vance',     'hugo@vance.example',         '987-65-4327', '3566002020360505', 'Fargo',     '2025-01-28');

INSERT INTO orders (customer_id, item, amount, status, placed) VALUES
    (1, 'Field notebook, dotted',    18.50, 'shipped',  '2025-03-02 09:14:00+00'),
    (1, 'Fountain pen, fine',        64.00, 'paid',     '2025-03-09 17:40:00+00'),
    (2, 'Desk lamp, brass',         129.90, 'shipped',  '2025-03-11 12:05:00+00'),
    (3, 'Ink, oxblood, 50 ml',       21.75, 'open',     '2025-03-12 08:31:00+00'),
    (4, 'Letter opener',             24.00, 'returned', '2025-03-12 20:22:00+00'),
    (5, 'Writing desk, walnut',     890.00, 'paid',     '2025-03-14 15:47:00+00'),
    (6, 'Sealing wax, 6 sticks',     15.20, 'open',     '2025-03-15 10:03:00+00'),
    (7, 'Blotter, leather',          72.40, 'shipped',  '2025-03-17 13:58:00+00'),
    (8, 'Paper, cotton, 200 sheets', 33.00, 'paid',     '2025-03-18 07:26:00+00');

INSERT INTO notes (customer_id, body) VALUES
    (1, 'Prefers parcels in the afternoon.'),
    (2, 'New address for the invoice: accounts@hollis-lamps.example, please.'),
    (3, 'Read her card out on the phone: 4111 1111 1111 1111, to be charged on Friday.'),
    (4, 'Runs his own shop interface; he pasted his key AKIAIOSFODNN7EXAMPLE into the chat.'),
    (5, 'Asked whether the desk comes in oak.');

ANALYZE;
