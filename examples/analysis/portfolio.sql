-- The portfolio of every lender at every month's end: by class, and in all. Interest accrues for all
-- loans of a lender together, so the income of the month stands in the row of all.
WITH facts AS (
  SELECT month, lender, coalesce(class, 'none') AS class, days_past_due, outstanding, 0 AS income
  FROM month_ends
  WHERE outstanding > 0
  UNION ALL
  SELECT month, lender, 'all', days_past_due, outstanding, 0
  FROM month_ends
  WHERE outstanding > 0
  UNION ALL
  SELECT month, party, 'all', NULL, 0, coalesce(credit, 0) - coalesce(debit, 0)
  FROM postings
  WHERE account = 4010
)
SELECT
  month,
  lender,
  class,
  count(days_past_due) AS loans,
  sum(outstanding) AS outstanding,
  sum(income) AS interest_income,
  sum(CASE WHEN days_past_due = 0 THEN outstanding ELSE 0 END) AS not_late,
  sum(CASE WHEN days_past_due BETWEEN 1 AND 30 THEN outstanding ELSE 0 END) AS late_1_to_30,
  sum(CASE WHEN days_past_due BETWEEN 31 AND 60 THEN outstanding ELSE 0 END) AS late_31_to_60,
  sum(CASE WHEN days_past_due BETWEEN 61 AND 90 THEN outstanding ELSE 0 END) AS late_61_to_90,
  sum(CASE WHEN days_past_due > 90 THEN outstanding ELSE 0 END) AS late_over_90
FROM facts
GROUP BY month, lender, class
ORDER BY month, lender, class;

-- What every party's ledger amounts to, account by account.
SELECT
  party,
  account,
  coalesce(counterparty, '') AS counterparty,
  sum(coalesce(debit, 0) - coalesce(credit, 0)) AS balance
FROM postings
GROUP BY party, account, coalesce(counterparty, '')
HAVING sum(coalesce(debit, 0) - coalesce(credit, 0)) <> 0
ORDER BY party, account, counterparty;
