//! The tables of a book and what every column of them means: the one description that all
//! formats and the documentation come from.

use std::fmt::Write as _;

use super::table::{Column, Kind, Table};

/// All tables, in the order of the documentation. The applications have more columns: the fields
/// of the agreement.
const TABLES: [&Table<'_>; 10] = [
    &APPLICATIONS,
    &DECISIONS,
    &LOANS,
    &SHARES,
    &MONTH_ENDS,
    &INSTRUCTIONS,
    &SALES,
    &POSTINGS,
    &BALANCES,
    &SETTLEMENTS,
];

/// Describes every table and column, in Markdown.
pub(super) fn describe() -> String {
    let mut text = String::new();
    for table in TABLES {
        let months = table.by_month.map(|day| format!(" Months by `{day}`."));
        let _ = write!(
            text,
            "### `{}`\n\n{}.{}\n\n| column | type | meaning | empty if |\n|---|---|---|---|\n",
            table.name,
            table.about,
            months.unwrap_or_default()
        );
        for column in table.columns {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                column.name,
                column.kind.name(),
                column.about,
                column.empty.unwrap_or("never")
            );
        }
        text.push('\n');
    }
    text
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Integer => "integer",
            Kind::Day => "date",
            Kind::Amount => "amount",
            Kind::Rate => "rate",
        }
    }
}

const fn text(name: &'static str, about: &'static str) -> Column<'static> {
    Column::new(Kind::Text, name, about)
}

const fn integer(name: &'static str, about: &'static str) -> Column<'static> {
    Column::new(Kind::Integer, name, about)
}

const fn day(name: &'static str, about: &'static str) -> Column<'static> {
    Column::new(Kind::Day, name, about)
}

const fn amount(name: &'static str, about: &'static str) -> Column<'static> {
    Column::new(Kind::Amount, name, about)
}

const fn rate(name: &'static str, about: &'static str) -> Column<'static> {
    Column::new(Kind::Rate, name, about)
}

const LOAN: Column<'_> = text("loan", "Key of the application that the loan came from");
const LENDER: Column<'_> = text("lender", "Id of the party that holds the share");
const CURRENCY: Column<'_> = text("currency", "Currency of the amounts, ISO 4217");
const ACCOUNT: Column<'_> = integer("account", "Number in the chart of accounts");
const ACCOUNT_NAME: Column<'_> = text(
    "account_name",
    "Name of the account, without the counterparty",
);
const COUNTERPARTY: Column<'_> = text(
    "counterparty",
    "Id of the other party of an inter-party account",
)
.empty("other accounts");
const ENTRY: Column<'_> = integer("entry", "Number of the entry in the book, from 1");
const ENTRY_DAY: Column<'_> = day("day", "Business date of the entry");
const ENTRY_KIND: Column<'_> = text("kind", "Why the entry was made: disbursement, repayment, …");
const ENTRY_LOAN: Column<'_> = LOAN.empty("entries for a whole day");
const DEBIT: Column<'_> = amount("debit", "Amount if it is a debit").empty("credits");
const CREDIT: Column<'_> = amount("credit", "Amount if it is a credit").empty("debits");

pub(super) const APPLICATIONS: Table<'_> = Table {
    name: "applications",
    about: "One row for each application; after these columns come the agreement's fields, typed as \
            the agreement says and empty where an application does not say",
    by_month: None,
    columns: &[
        text("application", "Key of the application"),
        day("decided_on", "Business date of the decision"),
        integer(
            "agreement_version",
            "Version of the agreement that it was decided under",
        ),
        text("state", "What became of it: declined, disbursed, …"),
        text("reason", "Why it was declined").empty("not declined"),
    ],
};

pub(super) const DECISIONS: Table<'_> = Table {
    name: "decisions",
    about: "One row for each application and lender that decided, and one for each decision of a person on what its lender referred",
    by_month: None,
    columns: &[
        text("application", "Key of the application"),
        text("lender", "Id of the lender"),
        text("policy_version", "Version of the lender's policy"),
        integer("score", "Points of the scorecard").empty("no scorecard"),
        text("outcome", "`approve`, `decline` or `refer`"),
        amount("maximum", "The most that the lender would fund").empty("not approved"),
        rate("rate", "Yearly rate that the lender asks").empty("not approved"),
        text("reasons", "Codes of the policy, with spaces between").empty("approved"),
        text(
            "barred_by",
            "Clause, limit or rule that bars the lender from the loan",
        )
        .empty("not barred"),
        day(
            "decided_on",
            "Business date of the decision; the last of a lender's is the one that counts",
        ),
        text(
            "decided_by",
            "`policy` (or the lender's own service), or `person`",
        ),
    ],
};

pub(super) const LOANS: Table<'_> = Table {
    name: "loans",
    about: "One row for each loan, as it stands on the day of the export",
    by_month: None,
    columns: &[
        LOAN,
        day("disbursed_on", "Value date of the disbursement"),
        integer(
            "agreement_version",
            "Version of the agreement that governs it",
        ),
        amount("amount", "Principal disbursed at first"),
        rate("rate", "The borrower's yearly rate at disbursement"),
        integer("months", "Term in months"),
        text("status", "`active`, `repaid` or `charged off`"),
        text("class", "Class by days past due, as the agreement names it")
            .empty("not active, or the agreement has no classes"),
        integer("days_past_due", "Days since the oldest unpaid due date"),
        amount("outstanding", "Principal outstanding"),
        amount("interest_due", "Interest that is due and unpaid"),
        amount(
            "received",
            "Received from the borrower, less what was charged back",
        ),
        amount("principal", "Of it, used for principal"),
        amount("interest", "Of it, used for interest"),
        amount("fees", "Of it, used for fees of all kinds"),
        amount("penalty", "Of it, used for penalty interest"),
        amount("held", "Held for the borrower: received and not used"),
        amount("refunded", "Given back to the borrower"),
        amount("charged_off", "Principal written off"),
        amount(
            "interest_forgone",
            "Interest given up, at charge-off or waived",
        ),
        amount("compensated", "Paid by the guarantor"),
        amount("recovered", "Principal received after it was written off"),
        amount("late_fees", "Of the fees: late fees"),
        amount("instalment_fees", "Of the fees: those of instalments"),
        amount("prepayment_fees", "Of the fees: those on prepayments"),
        amount("drawn", "Paid out after the first disbursement"),
        amount("capitalised", "Interest that became principal"),
        amount("credited", "Given to the borrower as goodwill credit"),
        CURRENCY,
    ],
};

pub(super) const SHARES: Table<'_> = Table {
    name: "shares",
    about: "One row for each loan and party that holds or held a part of it, as it stands on the \
            day of the export",
    by_month: None,
    columns: &[
        LOAN,
        LENDER,
        amount(
            "amount",
            "Its part in the funding; zero for who bought later",
        ),
        rate(
            "share",
            "The same as a fraction of what was agreed to be lent",
        ),
        rate("rate", "Yearly rate that the lender asked"),
        amount("outstanding", "Principal outstanding"),
        amount("principal", "Principal received"),
        amount("interest", "Interest received"),
        amount("fees", "Fees received"),
        amount("penalty", "Penalty interest received"),
        amount("charged_off", "Principal written off"),
        amount("compensated", "Compensation received from the guarantor"),
        amount("recovered", "Recoveries received"),
        amount("service_fee", "Service fee paid"),
        amount("disbursed", "Principal paid out"),
        amount("capitalised", "Interest that became principal"),
        amount("sale_gain", "Gain on sales; a loss is negative"),
        amount("premium", "Premium that is not yet income"),
        amount("premium_released", "Premium that became income"),
        amount("premium_lost", "Premium lost with its principal"),
        CURRENCY,
    ],
};

pub(super) const MONTH_ENDS: Table<'_> = Table {
    name: "month_ends",
    about: "One row for each month's end, loan that was active then and party that held a part of \
            it or did before. Only in Parquet",
    by_month: Some("day"),
    columns: &[
        day("day", "Last day of the month"),
        LOAN,
        LENDER,
        text("class", "Class by days past due, as the agreement names it")
            .empty("the agreement has no classes"),
        integer("days_past_due", "Days since the oldest unpaid due date"),
        amount("outstanding", "The party's principal outstanding"),
        amount("principal", "Principal it received up to this day"),
        amount("interest", "Interest it received up to this day"),
        CURRENCY,
    ],
};

pub(super) const INSTRUCTIONS: Table<'_> = Table {
    name: "instructions",
    about: "One row for each thing done to a loan: payments, all other instructions, write-offs, \
            reversals. The amounts are what it changed of the loan's totals",
    by_month: Some("day"),
    columns: &[
        text("key", "Key that it came with").empty("write-offs by a day close"),
        LOAN,
        integer(
            "number",
            "Number in the loan; a reversal has that of what it takes back",
        ),
        day("day", "Business date on which it came"),
        day("value_date", "Date from which it counts").empty("reversals"),
        text(
            "action",
            "What was done: `repay`, `prepay`, `refund`, …, `reversal`",
        ),
        amount("amount", "Its amount").empty("actions without one"),
        text("instruction", "The whole of it in words").empty("reversals"),
        amount("received", "Change of what was received from the borrower"),
        amount("principal", "Change of principal paid"),
        amount("interest", "Change of interest paid"),
        amount("fees", "Change of fees paid, of all kinds"),
        amount("penalty", "Change of penalty interest paid"),
        amount("charged_off", "Change of principal written off"),
        amount("recovered", "Change of recoveries"),
        CURRENCY,
    ],
};

pub(super) const SALES: Table<'_> = Table {
    name: "sales",
    about: "One row for each sale of a share",
    by_month: None,
    columns: &[
        LOAN,
        integer(
            "number",
            "Number of the sale among what was done to the loan",
        ),
        day("value_date", "Date from which it counts"),
        text("seller", "Id of the seller"),
        text("buyer", "Id of the buyer"),
        rate("part", "Part of the seller's holding that is sold"),
        rate("price", "Price as a fraction of the principal"),
        amount("principal", "Principal sold"),
        amount("paid", "Price paid for it"),
        amount("interest", "Accrued interest paid for with it"),
        CURRENCY,
    ],
};

pub(super) const POSTINGS: Table<'_> = Table {
    name: "postings",
    about: "One row for each line of every party's ledger, in the order of posting; the postings \
            of an entry balance for each party",
    by_month: Some("day"),
    columns: &[
        ENTRY,
        ENTRY_DAY,
        ENTRY_KIND,
        ENTRY_LOAN,
        text("party", "Id of the party whose ledger it is"),
        ACCOUNT,
        ACCOUNT_NAME,
        COUNTERPARTY,
        DEBIT,
        CREDIT,
        CURRENCY,
    ],
};

pub(super) const BALANCES: Table<'_> = Table {
    name: "balances",
    about: "One row for each party and account that is not zero on the day of the export",
    by_month: None,
    columns: &[
        text("party", "Id of the party whose ledger it is"),
        ACCOUNT,
        ACCOUNT_NAME,
        COUNTERPARTY,
        DEBIT,
        CREDIT,
        CURRENCY,
    ],
};

pub(super) const SETTLEMENTS: Table<'_> = Table {
    name: "settlements",
    about: "One row for each obligation and each transfer of a settlement window",
    by_month: None,
    columns: &[
        day("window", "Day on which the window was closed"),
        day("settle_on", "Day on which it is to be paid"),
        day("paid_on", "Day on which it was paid").empty("not paid yet"),
        text("from", "Id of the party that owes or pays"),
        text("to", "Id of the party that is owed or paid"),
        text(
            "kind",
            "`gross`: what was owed before netting; `net`: what is paid",
        ),
        amount("amount", "The amount"),
        CURRENCY,
    ],
};

/// The lines of a statement, which are written as CSV beside it.
pub(super) const LINES: Table<'_> = Table {
    name: "lines",
    about: "One row for each posting in the party's own ledger",
    by_month: None,
    columns: &[
        ACCOUNT,
        ACCOUNT_NAME,
        COUNTERPARTY,
        ENTRY_DAY,
        ENTRY,
        ENTRY_KIND,
        ENTRY_LOAN,
        DEBIT,
        CREDIT,
        amount(
            "balance",
            "Balance of the account after it; credits are negative",
        ),
        CURRENCY,
    ],
};
