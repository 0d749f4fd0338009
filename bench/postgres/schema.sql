-- The peer of `tandem bench book`: booking a joint loan in PostgreSQL, the way a
-- bank's own team would write it: rows updated in place by a stored procedure.
--
-- It is written to be fast. There are no foreign keys and no indexes but the primary
-- keys, the hot rows are touched last and always in the same order (so that nobody
-- deadlocks and locks are short), and nothing is decided here: no limit, quota, consent
-- or rule is looked at, no events are kept. Tandem does all of that in its figure.

CREATE TABLE account (
    id      smallint PRIMARY KEY,
    name    text     NOT NULL,
    balance bigint   NOT NULL DEFAULT 0      -- minor units; debits are positive
) WITH (fillfactor = 10);                    -- room for updates in place on the hot page

CREATE TABLE loan (
    id             bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    borrower       bigint   NOT NULL,
    principal      bigint   NOT NULL,
    bank_part      bigint   NOT NULL,
    rate_bp        integer  NOT NULL,
    months         smallint NOT NULL,
    outstanding    bigint   NOT NULL,
    disbursed_on   date     NOT NULL DEFAULT current_date
);

CREATE TABLE posting (
    loan    bigint   NOT NULL,
    line    smallint NOT NULL,
    account smallint NOT NULL,
    amount  bigint   NOT NULL,
    PRIMARY KEY (loan, line)
);

-- One programme: every loan of it touches these four rows.
INSERT INTO account (id, name) VALUES
    (1, 'loans of the bank'),
    (2, 'loans of the platform'),
    (3, 'clearing'),                         -- the bank's money that went out
    (4, 'payable to the bank');              -- the platform's part, paid in by settlement

-- Books one loan: the bank funds 70 %, the platform the rest. COMMIT follows the call.
CREATE PROCEDURE book_loan(borrower bigint, principal bigint, rate_bp integer, months integer)
LANGUAGE plpgsql AS $$
DECLARE
    bank_part     bigint := principal * 7000 / 10000;
    platform_part bigint := principal - bank_part;
    loan_id       bigint;
BEGIN
    INSERT INTO loan (borrower, principal, bank_part, rate_bp, months, outstanding)
    VALUES (borrower, principal, bank_part, rate_bp, months, principal)
    RETURNING id INTO loan_id;

    INSERT INTO posting (loan, line, account, amount) VALUES
        (loan_id, 1, 1,  bank_part),
        (loan_id, 2, 2,  platform_part),
        (loan_id, 3, 3, -bank_part),
        (loan_id, 4, 4, -platform_part);

    UPDATE account SET balance = balance + bank_part     WHERE id = 1;
    UPDATE account SET balance = balance + platform_part WHERE id = 2;
    UPDATE account SET balance = balance - bank_part     WHERE id = 3;
    UPDATE account SET balance = balance - platform_part WHERE id = 4;
END $$;

-- Books many loans in one transaction with sets instead of rows: what a nightly batch
-- does. The applications are made up on the spot, so that none has to be sent.
CREATE PROCEDURE book_loans(how_many integer)
LANGUAGE sql AS $$
    WITH booked AS (
        INSERT INTO loan (borrower, principal, bank_part, rate_bp, months, outstanding)
        SELECT n, principal, principal * 7000 / 10000, 1200, 12, principal
        FROM (
            SELECT n, 100000 + n * 7919 % 1000000 AS principal
            FROM generate_series(1::bigint, how_many) AS n
        ) AS application
        RETURNING id, principal, bank_part
    ), posted AS (
        INSERT INTO posting (loan, line, account, amount)
        SELECT id, line, line, amount
        FROM booked, LATERAL (VALUES
            (1::smallint,  bank_part),
            (2::smallint,  principal - bank_part),
            (3::smallint, -bank_part),
            (4::smallint, bank_part - principal)
        ) AS lines (line, amount)
        RETURNING account, amount
    )
    UPDATE account SET balance = balance + total
    FROM (SELECT account, sum(amount)::bigint AS total FROM posted GROUP BY account) AS totals
    WHERE id = totals.account;
$$;
