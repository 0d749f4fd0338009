-- The peer that does what `tandem bench book` does, with sets of 1,000 applications. Each is kept
-- under its key, decided by the three lenders' policies of `examples/marketplace` with reasons,
-- passes the agreement's terms, its limits and the rulebook, is shared among those that offer,
-- gets its level instalment, and is booked with every party's postings, eleven a loan. Sets are
-- chained by hashes over what was kept of them.
--
-- The rules are those of the example's files, as expressions; `run.sh` checks that every lender
-- decides, and every loan is shared, as in Tandem. Left out is what Tandem does too: exact limits
-- (a limit that a set would exceed bars its lender from that set on), proofs for one party alone,
-- and an offer that waits for its acceptance. Amounts are minor units, rates hundred-millionths.

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
    score integer NOT NULL, maximum bigint, rate bigint, reasons text NOT NULL
);

-- The parts of Tandem's loans, but those that a limit changed: there limits are not scaled.
CREATE TABLE lent (
    application text NOT NULL, lender_place integer NOT NULL, part bigint NOT NULL
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
CREATE TEMPORARY TABLE share_file (
    loan text, lender text, amount numeric, share text, rate text, outstanding text, principal text,
    interest text, fees text, penalty text, charged_off text, compensated text, recovered text,
    service_fee text, disbursed text, capitalised text, sale_gain text, premium text,
    premium_released text, premium_lost text, currency text
);
\copy application_file FROM applications.csv WITH (FORMAT csv, HEADER)
\copy decision_file FROM decisions.csv WITH (FORMAT csv, HEADER)
\copy share_file FROM shares.csv WITH (FORMAT csv, HEADER)
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
    maximum * 100, rate * 100000000, coalesce(reasons, '')
FROM decision_file;
INSERT INTO lent
SELECT loan, array_position('{harbour,river,cloud}', lender), amount * 100
FROM share_file
WHERE loan NOT IN (SELECT application FROM decision_file WHERE barred_by LIKE 'clause%');

CREATE SEQUENCE thousand;

CREATE TABLE application (
    key text PRIMARY KEY,
    number bigint NOT NULL,
    amount bigint NOT NULL, term_months integer NOT NULL, region text NOT NULL,
    annual_income bigint, debt_to_income bigint, delinquencies_2y integer, bankruptcies integer,
    inquiries_12m integer, months_since_90d_late integer, failed_to_pay integer,
    utilisation bigint, first_credit_year integer, home text, income_verified text,
    employment_years integer, purpose text, grade text,
    -- One place for each lender: harbour, river, cloud.
    outcome text[] NOT NULL,
    score integer[] NOT NULL,
    maximum bigint[] NOT NULL,
    rate bigint[] NOT NULL,
    reasons text[] NOT NULL,
    -- Which rule or limit kept a lender out, if one did.
    barred text[] NOT NULL,
    -- Why there is no loan, if there is none.
    declined text
);

CREATE TABLE joint_loan (
    application bigint PRIMARY KEY,
    principal bigint NOT NULL,
    parts bigint[] NOT NULL,
    rates bigint[] NOT NULL,
    rate bigint NOT NULL,
    months smallint NOT NULL,
    instalment bigint NOT NULL,
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

-- Limits of the agreement and quotas of the rulebook. A lender whose limit is closed funds no more.
CREATE TABLE joint_limit (
    id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    clause text NOT NULL,
    lender_place integer NOT NULL,
    region text,
    most bigint NOT NULL,
    used bigint NOT NULL DEFAULT 0,
    closed boolean NOT NULL DEFAULT false
) WITH (fillfactor = 10);

-- Made `times` as large as in the example, as its 10,000 applications are sent `times` times.
INSERT INTO joint_limit (clause, lender_place, region, most)
SELECT clause, lender_place, region, (most * :times)::bigint
FROM (VALUES
    ('7.1', 1, NULL, 600000000), ('7.2', 1, NULL, 12000000000), ('7.3', 2, NULL, 19000000000),
    ('7.5', 3, NULL, 40000000000),
    ('cn-partner-concentration', 1, NULL, 240000000000 * 0.25),
    ('cn-partner-concentration', 2, NULL, 90000000000 * 0.25),
    ('cn-partner-concentration', 3, NULL, 600000000000 * 0.25),
    ('cn-joint-lending-cap', 1, NULL, 1900000000000 * 0.5 - 115000000000),
    ('cn-joint-lending-cap', 2, NULL, 750000000000 * 0.5 - 64000000000),
    ('cn-joint-lending-cap', 3, NULL, 5200000000000 * 0.5 - 980000000000)
) AS of_a_lender (clause, lender_place, region, most)
UNION ALL
SELECT '7.4', 2, region, (2500000000 * :times)::bigint
FROM (SELECT DISTINCT region FROM offered) AS regions
ORDER BY lender_place, region;

-- The history: each set's hash is taken over what was kept of it and the hash before.
CREATE TABLE chain (
    set bigint PRIMARY KEY,
    hash bytea NOT NULL
);
INSERT INTO chain VALUES (0, sha256(''));
CREATE TABLE head (set bigint NOT NULL, hash bytea NOT NULL) WITH (fillfactor = 10);
INSERT INTO head SELECT * FROM chain;

-- What each lender says to the applications numbered from `first` on.
CREATE FUNCTION judged(first bigint, how_many integer)
RETURNS TABLE (asked offered, outcome text[], score integer[], maximum bigint[], rate bigint[], reasons text[])
LANGUAGE sql STABLE AS $$
    SELECT
        asked,
        ARRAY[
            CASE WHEN h_no <> '' THEN 'decline' WHEN h_ask THEN 'refer' WHEN h_offer IS NULL THEN 'decline' ELSE 'approve' END,
            CASE WHEN r_no <> '' THEN 'decline' WHEN r_ask THEN 'refer' WHEN r_offer IS NULL THEN 'decline' ELSE 'approve' END,
            CASE WHEN c_no <> '' THEN 'decline' WHEN c_offer IS NULL THEN 'decline' ELSE 'approve' END
        ],
        ARRAY[h_score, r_score, c_score],
        ARRAY[
            CASE WHEN h_no = '' AND NOT h_ask THEN CASE h_offer
                WHEN 1 THEN least(20000000, income * 50 / 100) WHEN 2 THEN least(16000000, income * 40 / 100)
                WHEN 3 THEN least(12000000, income * 30 / 100) WHEN 4 THEN least(8000000, income * 25 / 100) END END,
            CASE WHEN r_no = '' AND NOT r_ask THEN CASE r_offer
                WHEN 1 THEN 15000000 WHEN 2 THEN least(11000000, income * 35 / 100)
                WHEN 3 THEN least(7000000, income * 25 / 100) END END,
            CASE WHEN c_no = '' THEN CASE c_offer
                WHEN 1 THEN least(20000000, income * 60 / 100) WHEN 2 THEN least(20000000, income * 50 / 100)
                WHEN 3 THEN least(18000000, income * 45 / 100) WHEN 4 THEN least(15000000, income * 40 / 100)
                WHEN 5 THEN least(10000000, income * 30 / 100) END END
        ],
        ARRAY[
            (ARRAY[9600000, 11400000, 13200000, 15000000])[h_offer]::bigint,
            (ARRAY[10200000, 12900000, 15600000])[r_offer]::bigint,
            (ARRAY[8400000, 10800000, 14400000, 19200000, 29800000])[c_offer]::bigint
        ],
        ARRAY[
            CASE WHEN h_no <> '' THEN h_no WHEN h_ask THEN 'H20' WHEN h_offer IS NULL THEN 'H99' ELSE '' END,
            CASE WHEN r_no <> '' THEN r_no WHEN r_ask THEN 'R-REF' WHEN r_offer IS NULL THEN 'R-SCORE' ELSE '' END,
            CASE WHEN c_no <> '' THEN c_no WHEN c_offer IS NULL THEN 'C-199' ELSE '' END
        ]
    FROM (SELECT *, (asked).annual_income AS income FROM (SELECT o AS asked FROM offered AS o WHERE n >= first AND n < first + how_many) AS o) AS o
    CROSS JOIN LATERAL (SELECT
        concat_ws(' ',
            CASE WHEN (asked).debt_to_income > 32000000 THEN 'H01' END, CASE WHEN (asked).debt_to_income IS NULL THEN 'H02' END,
            CASE WHEN (asked).delinquencies_2y > 1 THEN 'H03' END, CASE WHEN (asked).bankruptcies > 0 THEN 'H04' END,
            CASE WHEN (asked).inquiries_12m > 5 THEN 'H05' END, CASE WHEN (asked).months_since_90d_late < 24 THEN 'H06' END,
            CASE WHEN income < 16000000 THEN 'H07' END, CASE WHEN (asked).first_credit_year > 2013 THEN 'H08' END) AS h_no,
        coalesce((asked).failed_to_pay > 0, false) AS h_ask,
        concat_ws(' ',
            CASE WHEN (asked).debt_to_income > 36000000 THEN 'R-DTI' END, CASE WHEN (asked).delinquencies_2y > 2 THEN 'R-DELINQ' END,
            CASE WHEN (asked).bankruptcies > 1 THEN 'R-BANKR' END, CASE WHEN (asked).inquiries_12m > 8 THEN 'R-INQ' END,
            CASE WHEN (asked).months_since_90d_late < 6 THEN 'R-90D' END, CASE WHEN (asked).failed_to_pay > 2 THEN 'R-FAIL' END,
            CASE WHEN income < 13000000 THEN 'R-INCOME' END, CASE WHEN (asked).first_credit_year > 2015 THEN 'R-HIST' END) AS r_no,
        (asked).debt_to_income IS NULL AS r_ask,
        concat_ws(' ',
            CASE WHEN (asked).debt_to_income > 40000000 THEN 'C-101' END, CASE WHEN (asked).delinquencies_2y > 3 THEN 'C-102' END,
            CASE WHEN (asked).bankruptcies > 1 THEN 'C-103' END, CASE WHEN (asked).inquiries_12m > 10 THEN 'C-104' END,
            CASE WHEN (asked).failed_to_pay > 3 THEN 'C-105' END, CASE WHEN income < 13000000 THEN 'C-106' END,
            CASE WHEN (asked).first_credit_year > 2015 THEN 'C-107' END) AS c_no,
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
CREATE FUNCTION bid(maximum bigint, amount bigint, barred text) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN barred IS NULL AND maximum >= amount * 15 / 100
        THEN least(maximum, (amount * 70 + 99) / 100) ELSE 0 END
$$;

-- What a set adds to an account, and to the limits of a lender, in a region or in all.
CREATE TYPE posted_sum AS (account smallint, amount bigint);
CREATE TYPE lent_sum AS (lender_place integer, region text, amount bigint);

-- Takes the next applications round and round, has them judged, shares what can be shared and
-- books it, all in one statement. COMMIT follows the call.
CREATE PROCEDURE apply_and_book(how_many integer)
LANGUAGE plpgsql AS $$
DECLARE
    taken bigint := (nextval('thousand') - 1) * how_many;
    first bigint := 1 + taken % (SELECT count(*) FROM offered);
    closed_to text[];
    closed_regions text[];
    posted_sums posted_sum[];
    lent_sums lent_sum[];
    over smallint[];
    kept bytea;
BEGIN
LOOP
    SELECT ARRAY[
            min(clause) FILTER (WHERE lender_place = 1), min(clause) FILTER (WHERE lender_place = 2 AND region IS NULL),
            min(clause) FILTER (WHERE lender_place = 3)
        ], coalesce(array_agg(region) FILTER (WHERE region IS NOT NULL), '{}')
    INTO closed_to, closed_regions FROM joint_limit WHERE closed;
    BEGIN
        WITH judged AS MATERIALIZED (
            SELECT taken + (asked).n - first + 1 AS number, *, ARRAY[
                CASE WHEN (asked).region <> ALL ('{AK,AZ,CA,CO,HI,ID,IL,MT,NM,NV,OR,TX,UT,WA,WY}') THEN 'cn-territory' ELSE closed_to[1] END,
                CASE WHEN (asked).region <> ALL ('{AL,AR,CT,DC,DE,FL,GA,IL,IN,KS,KY,LA,MA,MD,ME,MI,MN,MO,MS,NC,ND,NE,NH,NJ,NY,OH,OK,PA,RI,SC,SD,TN,TX,VA,VT,WI,WV}') THEN 'cn-territory'
                    WHEN (asked).region = ANY (closed_regions) THEN '7.4' ELSE closed_to[2] END,
                closed_to[3]] AS barred
            FROM judged(first, how_many)
        ), capped AS (
            -- A lender funds 15 to 70 % of a loan, where it may lend at all.
            SELECT *, bid(maximum[1], (asked).amount, barred[1]) AS h,
                bid(maximum[2], (asked).amount, barred[2]) AS r,
                bid(maximum[3], (asked).amount, barred[3]) AS c
            FROM judged OFFSET 0
        ), gated AS (
            SELECT *, CASE
                WHEN (asked).annual_income IS NULL THEN 'E01'
                WHEN (asked).purpose = 'small_business' THEN 'E02'
                WHEN (asked).amount < 500000 OR (asked).amount > 30000000 THEN 'amount'
                WHEN h + r + c < (asked).amount OR (h > 0)::int + (r > 0)::int + (c > 0)::int < 2 THEN 'too few'
                WHEN (asked).amount > 25000000 THEN '7.6'
                WHEN (asked).amount > 20000000 THEN 'cn-personal-amount'
                END AS gate
            FROM capped OFFSET 0
        ), rests AS (
            SELECT *, CASE WHEN gate IS NULL THEN h + r + c ELSE 1 END AS bids,
                CASE WHEN gate IS NULL THEN (asked).amount ELSE 0 END AS amount
            FROM gated OFFSET 0
        ), left_over AS (
            SELECT *, amount * h % bids AS h_rest, amount * r % bids AS r_rest, amount * c % bids AS c_rest
            FROM rests OFFSET 0
        ), shared AS (
            -- The largest remainder: of at most two units that are left, none falls on a lender that
            -- does not take part, since its remainder is nothing.
            SELECT *,
                amount * h / bids + (h > 0 AND left_over > (c_rest >= h_rest)::int + (r_rest > h_rest)::int)::int AS h_part,
                amount * r / bids + (r > 0 AND left_over > (c_rest >= r_rest)::int + (h_rest >= r_rest)::int)::int AS r_part,
                amount * c / bids + (c > 0 AND left_over > (h_rest > c_rest)::int + (r_rest > c_rest)::int)::int AS c_part
            FROM (SELECT *, (h_rest + r_rest + c_rest) / bids AS left_over FROM left_over OFFSET 0) AS left_over OFFSET 0
        ), rated AS (
            SELECT *, CASE WHEN gate IS NULL THEN
                (h_part * coalesce(rate[1], 0) + r_part * coalesce(rate[2], 0) + c_part * coalesce(rate[3], 0) + amount / 2) / amount
                END AS loan_rate
            FROM shared OFFSET 0
        ), planned AS (
            SELECT *, CASE WHEN gate IS NULL THEN round(amount * (loan_rate / 1.2e9::float8)
                / (1 - power(1 + loan_rate / 1.2e9::float8, -(asked).term_months)))::bigint END AS instalment
            FROM rated OFFSET 0
        ), decided AS MATERIALIZED (
            -- The all-in cost is above 24 % a year if the instalments are worth more than what is paid out.
            SELECT *, coalesce(gate, CASE WHEN instalment * CASE (asked).term_months WHEN 36 THEN 25.488842483 ELSE 34.760886677 END::float8
                > amount - (amount * 8 + 500) / 1000 - (amount * 12 + 500) / 1000 THEN 'cn-all-in-cost' END) AS declined
            FROM planned
        ), applied AS (
            INSERT INTO application
            SELECT (asked).application || '/' || number, number, (asked).amount, (asked).term_months, (asked).region, (asked).annual_income,
                (asked).debt_to_income, (asked).delinquencies_2y, (asked).bankruptcies,
                (asked).inquiries_12m, (asked).months_since_90d_late, (asked).failed_to_pay,
                (asked).utilisation, (asked).first_credit_year, (asked).home, (asked).income_verified,
                (asked).employment_years, (asked).purpose, (asked).grade,
                outcome, score, maximum, rate, reasons, barred, declined
            FROM decided
            RETURNING application
        ), booked AS (
            INSERT INTO joint_loan (application, principal, parts, rates, rate, months, instalment, outstanding)
            SELECT number, amount, ARRAY[h_part, r_part, c_part], rate, loan_rate, (asked).term_months, instalment, amount
            FROM decided
            WHERE declined IS NULL
            RETURNING application, principal, parts, joint_loan
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
        SELECT
            (SELECT array_agg(more) FROM (
                SELECT ROW(account, sum(amount))::posted_sum AS more FROM posted GROUP BY account
            ) AS sums),
            (SELECT array_agg(more) FROM (
                SELECT ROW(1, NULL, sum(h_part))::lent_sum AS more FROM decided WHERE declined IS NULL
                UNION ALL SELECT ROW(2, NULL, sum(r_part))::lent_sum FROM decided WHERE declined IS NULL
                UNION ALL SELECT ROW(3, NULL, sum(c_part))::lent_sum FROM decided WHERE declined IS NULL
                UNION ALL SELECT ROW(2, (asked).region, sum(r_part))::lent_sum FROM decided WHERE declined IS NULL GROUP BY (asked).region
            ) AS sums),
            sha256(convert_to(concat((SELECT string_agg(application::text, E'\n') FROM applied),
                (SELECT string_agg(joint_loan::text, E'\n') FROM booked)), 'UTF8'))
        INTO posted_sums, lent_sums, kept;
        -- What all sets touch is touched last, one set after the other.
        PERFORM FROM head FOR UPDATE;
        WITH limited AS (
            UPDATE joint_limit AS l SET used = used + more.amount
            FROM unnest(lent_sums) AS more
            WHERE l.lender_place = more.lender_place AND l.region IS NOT DISTINCT FROM more.region AND more.amount > 0
            RETURNING id, used > most AS is_over
        )
        SELECT array_agg(id) FILTER (WHERE is_over) INTO over FROM limited;
        IF over IS NOT NULL THEN
            RAISE EXCEPTION 'a limit is exceeded' USING ERRCODE = 'TL001';
        END IF;
        UPDATE joint_account SET balance = balance + amount FROM unnest(posted_sums) AS more WHERE id = more.account;
        WITH chained AS (
            UPDATE head SET set = set + 1, hash = sha256(hash || kept) RETURNING set, hash
        )
        INSERT INTO chain SELECT * FROM chained;
        RETURN;
    EXCEPTION WHEN SQLSTATE 'TL001' THEN
        PERFORM FROM head FOR UPDATE;
        UPDATE joint_limit SET closed = true WHERE id = ANY (over);
    END;
END LOOP;
END $$;
