-- SPDX-License-Identifier: MIT
--
-- 200,000 rows in two tables with indices: made, joined, changed, deleted, and
-- what is left over written anew.
PRAGMA journal_mode = MEMORY;
PRAGMA cache_size = -64000;
CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE purchase(id INTEGER PRIMARY KEY, customer INTEGER, day INTEGER,
	amount INTEGER, note TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO customer SELECT i, printf('name %08x', i * 2654435761 % 4294967296),
	printf('city %d', i * 7919 % 503) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 180000)
INSERT INTO purchase SELECT i, 1 + i * 7919 % 20000, i * 31 % 365,
	i * 104729 % 9973, substr(hex(i * 2654435761), 1, 4 + i % 24) FROM n;
COMMIT;
CREATE INDEX customer_city ON customer(city, name);
CREATE INDEX purchase_customer ON purchase(customer, day);
CREATE INDEX purchase_note ON purchase(note);
SELECT count(*), sum(amount), min(note), max(note) FROM purchase;
SELECT city, count(*), sum(amount) FROM customer
	JOIN purchase ON purchase.customer = customer.id
	GROUP BY city ORDER BY 3 DESC, city LIMIT 10;
UPDATE purchase SET amount = amount + 1, note = note || '!' WHERE day % 7 = 0;
DELETE FROM purchase WHERE day BETWEEN 100 AND 200;
SELECT day, group_concat(DISTINCT substr(note, 1, 2)) FROM
	(SELECT day, note FROM purchase ORDER BY note)
	WHERE day < 3 GROUP BY day;
VACUUM;
ANALYZE;
PRAGMA integrity_check;
SELECT count(*), sum(amount), sum(length(note)) FROM purchase;
