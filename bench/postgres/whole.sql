-- The peer that does what `tandem bench book` does, with sets of 1,000 applications: each is
-- kept with its values, decided by the three lenders' policies of `examples/marketplace`, shared
-- among those that offer, and booked with every party's postings, eleven a loan.
--
-- The rules are those of the example's files, as expressions; `run.sh` checks that every lender
-- decides as it does in Tandem. Left out is what Tandem does too: limits, the rulebook's quotas,
-- schedules, reasons in words, a history that can be checked. Amounts are minor units, rates
-- hundred-millionths.

-- The applications that are sent again and again: no call has to bring any.
CREATE TABLE offered (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    application text NOT NULL,
    amount bigint NOT NULL, term_months integer NOT NULL, region text NOT NULL,
    annual_income bigint, debt_to_income bigint, delinquencies_2y integer, bankruptcies integer,
    inquiries_12m integer, months_since_90d_late integer, failed_to_pay integer,
    utilisation bigint, first_credit_year integer, home text, income_verified text,
    employment_years integer, purpose text, grade text
);

-- What Tandem's lenders said to them, to compare with.
CREATE TABLE told (
    application text NOT NULL, lender_place integer NOT NULL, outcome text NOT NULL,
    score integer NOT NULL, maximum bigint, rate bigint
);

CREATE TEMPORARY TABLE application_file (
    application text, decided_on date, agreement_version integer, state text, reason text,
    amount numeric, term_months integer, region text, annual_income numeric,
    debt_to_income numeric, delinquencies_2y integer, bankruptcies integer, inquiries_12m integer,
    months_since_90d_late integer, failed_to_pay integer, utilisation numeric,
    first_credit_year integer, home text, income_verified text, employment_years integer,
    purpose text, grade text
);
CREATE TEMPORARY TABLE decision_file (
    application text, lender text, policy_version text, score integer, outcome text,
    maximum numeric, rate numeric, reasons text, barred_by text,
    decided_on date, decided_by text
);
\copy application_file FROM applications.csv WITH (FORMAT csv, HEADER)
\copy decision_file FROM decisions.csv WITH (FORMAT csv, HEADER)
INSERT INTO offered (application, amount, term_months, region, annual_income, debt_to_income,
    delinquencies_2y, bankruptcies, inquiries_12m, months_since_90d_late, failed_to_pay, utilisation,
    first_credit_year, home, income_verified, employment_years, purpose, grade)
SELECT application, amount * 100, term_months, region, annual_income * 100,
    debt_to_income * 100000000, delinquencies_2y, bankruptcies, inquiries_12m,
    months_since_90d_late, failed_to_pay, utilisation * 100000000, first_credit_year, home,
    income_verified, employment_years, purpose, grade
FROM application_file;
INSERT INTO told
SELECT application, array_position('{harbour,river,cloud}', lender), outcome, score,
    maximum * 100, rate * 100000000
FROM decision_file;

CREATE SEQUENCE thousand;

CREATE TABLE application (
    id bigint PRIMARY KEY,
    amount bigint NOT NULL, term_months integer NOT NULL, region text NOT NULL,
    annual_income bigint, debt_to_income bigint, delinquencies_2y integer, bankruptcies integer,
    inquiries_12m integer, months_since_90d_late integer, failed_to_pay integer,
    utilisation bigint, first_credit_year integer, home text, income_verified text,
    employment_years integer, purpose text, grade text,
    -- One place for each lender: harbour, river, cloud.
    outcome text[] NOT NULL,
    score integer[] NOT NULL,
    maximum bigint[] NOT NULL,
    rate bigint[] NOT NULL
);

CREATE TABLE joint_loan (
    application bigint PRIMARY KEY,
    principal bigint NOT NULL,
    parts bigint[] NOT NULL,
    rates bigint[] NOT NULL,
    rate bigint NOT NULL,
    months smallint NOT NULL,
    outstanding bigint NOT NULL,
    disbursed_on date NOT NULL DEFAULT current_date
);

CREATE TABLE joint_posting (
    loan bigint NOT NULL,
    line smallint NOT NULL,
    account smallint NOT NULL,
    amount bigint NOT NULL,                  -- debits are positive
    PRIMARY KEY (loan, line)
);

CREATE TABLE joint_account (
    id smallint PRIMARY KEY,
    party text NOT NULL,
    name text NOT NULL,
    balance bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

INSERT INTO joint_account (id, party, name) VALUES
    (1, 'harbour', 'loans'), (2, 'harbour', 'due to cloud'),
    (3, 'river', 'loans'), (4, 'river', 'due to cloud'),
    (5, 'cloud', 'loans'), (6, 'cloud', 'due from harbour'), (7, 'cloud', 'due from river'),
    (8, 'cloud', 'due to bazaar'), (9, 'cloud', 'due to shield'), (10, 'cloud', 'settlement account'),
    (11, 'bazaar', 'fee income'), (12, 'bazaar', 'due from cloud'),
    (13, 'shield', 'fee income'), (14, 'shield', 'due from cloud');

-- What each lender says to the applications numbered from `first` on.
CREATE FUNCTION judged(first bigint, how_many integer)
RETURNS TABLE (asked offered, outcome text[], score integer[], maximum bigint[], rate bigint[])
LANGUAGE sql STABLE AS $$
    SELECT
        asked,
        ARRAY[
            CASE WHEN h_no THEN 'decline' WHEN h_ask THEN 'refer' WHEN h_offer IS NULL THEN 'decline' ELSE 'approve' END,
            CASE WHEN r_no THEN 'decline' WHEN r_ask THEN 'refer' WHEN r_offer IS NULL THEN 'decline' ELSE 'approve' END,
            CASE WHEN c_no THEN 'decline' WHEN c_offer IS NULL THEN 'decline' ELSE 'approve' END
        ],
        ARRAY[h_score, r_score, c_score],
        ARRAY[
            CASE WHEN NOT h_no AND NOT h_ask THEN CASE h_offer
                WHEN 1 THEN least(20000000, income * 50 / 100) WHEN 2 THEN least(16000000, income * 40 / 100)
                WHEN 3 THEN least(12000000, income * 30 / 100) WHEN 4 THEN least(8000000, income * 25 / 100) END END,
            CASE WHEN NOT r_no AND NOT r_ask THEN CASE r_offer
                WHEN 1 THEN 15000000 WHEN 2 THEN least(11000000, income * 35 / 100)
                WHEN 3 THEN least(7000000, income * 25 / 100) END END,
            CASE WHEN NOT c_no THEN CASE c_offer
                WHEN 1 THEN least(20000000, income * 60 / 100) WHEN 2 THEN least(20000000, income * 50 / 100)
                WHEN 3 THEN least(18000000, income * 45 / 100) WHEN 4 THEN least(15000000, income * 40 / 100)
                WHEN 5 THEN least(10000000, income * 30 / 100) END END
        ],
        ARRAY[
            (ARRAY[9600000, 11400000, 13200000, 15000000])[h_offer]::bigint,
            (ARRAY[10200000, 12900000, 15600000])[r_offer]::bigint,
            (ARRAY[8400000, 10800000, 14400000, 19200000, 29800000])[c_offer]::bigint
        ]
    FROM (SELECT *, (asked).annual_income AS income FROM (SELECT o AS asked FROM offered AS o WHERE n >= first AND n < first + how_many) AS o) AS o
    CROSS JOIN LATERAL (SELECT
        coalesce((asked).debt_to_income > 32000000, true) OR coalesce((asked).delinquencies_2y > 1, false)
            OR coalesce((asked).bankruptcies > 0, false) OR coalesce((asked).inquiries_12m > 5, false)
            OR coalesce((asked).months_since_90d_late < 24, false) OR coalesce(income < 16000000, false)
            OR coalesce((asked).first_credit_year > 2013, false) AS h_no,
        coalesce((asked).failed_to_pay > 0, false) AS h_ask,
        coalesce((asked).debt_to_income > 36000000, false) OR coalesce((asked).delinquencies_2y > 2, false)
            OR coalesce((asked).bankruptcies > 1, false) OR coalesce((asked).inquiries_12m > 8, false)
            OR coalesce((asked).months_since_90d_late < 6, false) OR coalesce((asked).failed_to_pay > 2, false)
            OR coalesce(income < 13000000, false) OR coalesce((asked).first_credit_year > 2015, false) AS r_no,
        (asked).debt_to_income IS NULL AS r_ask,
        coalesce((asked).debt_to_income > 40000000, false) OR coalesce((asked).delinquencies_2y > 3, false)
            OR coalesce((asked).bankruptcies > 1, false) OR coalesce((asked).inquiries_12m > 10, false)
            OR coalesce((asked).failed_to_pay > 3, false) OR coalesce(income < 13000000, false)
            OR coalesce((asked).first_credit_year > 2015, false) AS c_no,
        CASE WHEN income >= 78000000 THEN 30 WHEN income >= 58500000 THEN 25 WHEN income >= 42250000 THEN 18
             WHEN income >= 29250000 THEN 10 WHEN income >= 19500000 THEN 4 ELSE 0 END
        + CASE WHEN (asked).utilisation < 20000000 THEN 20 WHEN (asked).utilisation < 35000000 THEN 16
               WHEN (asked).utilisation < 55000000 THEN 10 WHEN (asked).utilisation < 75000000 THEN 5 ELSE 0 END
        + CASE WHEN (asked).first_credit_year <= 1998 THEN 20 WHEN (asked).first_credit_year <= 2004 THEN 15
               WHEN (asked).first_credit_year <= 2009 THEN 10 WHEN (asked).first_credit_year <= 2013 THEN 4 ELSE 0 END
        + CASE (asked).income_verified WHEN 'verified' THEN 10 WHEN 'source_verified' THEN 6 ELSE 0 END
        + CASE (asked).home WHEN 'own' THEN 10 WHEN 'mortgage' THEN 8 ELSE 0 END
        + CASE WHEN (asked).employment_years >= 10 THEN 10 WHEN (asked).employment_years >= 4 THEN 6
               WHEN (asked).employment_years >= 1 THEN 3 ELSE 0 END AS h_score,
        10 + CASE WHEN income >= 65000000 THEN 25 WHEN income >= 42000000 THEN 18 WHEN income >= 26000000 THEN 10 ELSE 0 END
        + CASE WHEN (asked).debt_to_income < 10000000 THEN 20 WHEN (asked).debt_to_income < 20000000 THEN 14
               WHEN (asked).debt_to_income < 30000000 THEN 6 ELSE 0 END
        + CASE WHEN (asked).utilisation < 30000000 THEN 20 WHEN (asked).utilisation < 60000000 THEN 10 ELSE 0 END
        + CASE WHEN (asked).home IN ('own', 'mortgage') THEN 15 ELSE 0 END AS r_score,
        CASE WHEN income >= 60000000 THEN 30 WHEN income >= 40000000 THEN 20 WHEN income >= 25000000 THEN 10 ELSE 0 END
        + CASE WHEN (asked).utilisation < 30000000 THEN 25 WHEN (asked).utilisation < 60000000 THEN 15
               WHEN (asked).utilisation < 80000000 THEN 5 ELSE 0 END
        + CASE WHEN (asked).employment_years >= 5 THEN 15 WHEN (asked).employment_years >= 2 THEN 8 ELSE 0 END
        + CASE WHEN (asked).purpose IN ('credit_card', 'debt_consolidation') THEN 10 ELSE 0 END AS c_score
    OFFSET 0) AS scored
    CROSS JOIN LATERAL (SELECT
        CASE WHEN h_score >= 70 THEN 1 WHEN h_score >= 55 THEN 2
             WHEN h_score >= 45 AND (asked).term_months <= 36 THEN 3
             WHEN h_score >= 38 AND (asked).term_months <= 36 THEN 4 END AS h_offer,
        CASE WHEN r_score >= 60 THEN 1 WHEN r_score >= 40 THEN 2 WHEN r_score >= 30 THEN 3 END AS r_offer,
        CASE WHEN (asked).grade = 'A' THEN 1 WHEN (asked).grade = 'B' AND c_score >= 15 THEN 2
             WHEN (asked).grade = 'C' AND c_score >= 15 THEN 3 WHEN (asked).grade = 'D' AND c_score >= 20 THEN 4
             WHEN (asked).grade IN ('E', 'F', 'G') AND c_score >= 30 THEN 5 END AS c_offer
    OFFSET 0) AS offers
$$;

-- The most of an amount that a lender funds: at most 70 %, and nothing where that is under 15 %.
CREATE FUNCTION bid(maximum bigint, amount bigint, may_lend boolean) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN may_lend AND maximum >= amount * 15 / 100
        THEN least(maximum, (amount * 70 + 99) / 100) ELSE 0 END
$$;

-- Takes the next applications round and round, has them judged, shares what can be shared and
-- books it, all in one statement. COMMIT follows the call.
CREATE PROCEDURE apply_and_book(how_many integer)
LANGUAGE plpgsql AS $$
DECLARE
    taken bigint := (nextval('thousand') - 1) * how_many;
    first bigint := 1 + taken % (SELECT count(*) FROM offered);
BEGIN
    WITH judged AS MATERIALIZED (
        SELECT taken + (asked).n - first + 1 AS id, * FROM judged(first, how_many)
    ), applied AS (
        INSERT INTO application
        SELECT id, (asked).amount, (asked).term_months, (asked).region, (asked).annual_income,
            (asked).debt_to_income, (asked).delinquencies_2y, (asked).bankruptcies,
            (asked).inquiries_12m, (asked).months_since_90d_late, (asked).failed_to_pay,
            (asked).utilisation, (asked).first_credit_year, (asked).home, (asked).income_verified,
            (asked).employment_years, (asked).purpose, (asked).grade,
            outcome, score, maximum, rate
        FROM judged
    ), capped AS MATERIALIZED (
        -- A lender funds 15 to 70 % of a loan, where it may lend at all.
        SELECT id, (asked).amount AS amount, (asked).term_months AS months, rate,
            bid(maximum[1], (asked).amount, (asked).region = ANY (
                '{AK,AZ,CA,CO,HI,ID,IL,MT,NM,NV,OR,TX,UT,WA,WY}')) AS h,
            bid(maximum[2], (asked).amount, (asked).region = ANY (
                '{AL,AR,CT,DC,DE,FL,GA,IL,IN,KS,KY,LA,MA,MD,ME,MI,MN,MO,MS,NC,ND,NE,NH,NJ,NY,OH,OK,PA,RI,SC,SD,TN,TX,VA,VT,WI,WV}')) AS r,
            bid(maximum[3], (asked).amount, true) AS c
        FROM judged
        WHERE (asked).annual_income IS NOT NULL AND (asked).purpose <> 'small_business'
            AND (asked).amount BETWEEN 500000 AND 30000000
    ), rests AS MATERIALIZED (
        SELECT *, amount * h % bids AS h_rest, amount * r % bids AS r_rest, amount * c % bids AS c_rest
        FROM (SELECT *, h + r + c AS bids FROM capped) AS capped
        WHERE h + r + c >= amount AND (h > 0)::int + (r > 0)::int + (c > 0)::int >= 2
    ), shared AS MATERIALIZED (
        -- The largest remainder: of at most two units that are left, none falls on a lender that
        -- does not take part, since its remainder is nothing.
        SELECT id, amount, months, rate, h, r, c,
            amount * h / bids + (h > 0 AND left_over > (c_rest >= h_rest)::int + (r_rest > h_rest)::int)::int AS h_part,
            amount * r / bids + (r > 0 AND left_over > (c_rest >= r_rest)::int + (h_rest >= r_rest)::int)::int AS r_part,
            amount * c / bids + (c > 0 AND left_over > (h_rest > c_rest)::int + (r_rest > c_rest)::int)::int AS c_part
        FROM (SELECT *, (h_rest + r_rest + c_rest) / bids AS left_over FROM rests) AS rests
    ), booked AS (
        INSERT INTO joint_loan (application, principal, parts, rates, rate, months, outstanding)
        SELECT id, amount, ARRAY[h_part, r_part, c_part], rate,
            (h_part * coalesce(rate[1], 0) + r_part * coalesce(rate[2], 0) + c_part * coalesce(rate[3], 0) + amount / 2) / amount,
            months, amount
        FROM shared
        RETURNING application, principal, parts
    ), posted AS (
        INSERT INTO joint_posting (loan, line, account, amount)
        SELECT application, line, account, lines.amount
        FROM booked
        CROSS JOIN LATERAL (SELECT (principal * 8 + 500) / 1000 AS platform_fee,
            (principal * 12 + 500) / 1000 AS guarantee_fee) AS fees
        CROSS JOIN LATERAL (VALUES
            (1::smallint, 1::smallint, parts[1]), (2::smallint, 2::smallint, -parts[1]), (3::smallint, 6::smallint, parts[1]),
            (4::smallint, 3::smallint, parts[2]), (5::smallint, 4::smallint, -parts[2]), (6::smallint, 7::smallint, parts[2]),
            (7::smallint, 5::smallint, parts[3]),
            (8::smallint, 11::smallint, -platform_fee), (9::smallint, 8::smallint, -platform_fee), (10::smallint, 12::smallint, platform_fee),
            (11::smallint, 13::smallint, -guarantee_fee), (12::smallint, 9::smallint, -guarantee_fee), (13::smallint, 14::smallint, guarantee_fee),
            (14::smallint, 10::smallint, -(principal - platform_fee - guarantee_fee))
        ) AS lines (line, account, amount)
        WHERE lines.amount <> 0
        RETURNING account, amount
    )
    UPDATE joint_account SET balance = balance + total
    FROM (SELECT account, sum(amount)::bigint AS total FROM posted GROUP BY account ORDER BY account) AS totals
    WHERE id = totals.account;
END $$;
