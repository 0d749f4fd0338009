"""Runs portfolio.sql on the Parquet tables of a book, and holds the answers against its CSV tables.

The queries run in DuckDB and, with --spark, in a cluster of two Spark workers on this machine. What
they answer is compared with figures that are added up here from the CSV tables, row by row: the
balances that the book itself gives, and each lender's principal, number of loans and interest income
at every month's end, from the postings.
"""

import argparse
import csv
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]
LOANS, INTEREST_INCOME = "1310", "4010"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parquet", type=Path, required=True, help="folder of `tandem export parquet`")
    parser.add_argument("--csv", type=Path, required=True, help="folder of `tandem export csv`")
    parser.add_argument("--spark", action="store_true", help="ask Spark too (needs Java)")
    options = parser.parse_args()
    queries = Path(__file__).with_name("portfolio.sql").read_text().strip().removesuffix(";").split(";")
    book = Book(options.csv)
    failed = False
    for engine in [duckdb, spark][: 1 + options.spark]:
        start = time.monotonic()
        portfolio, balances = engine(options.parquet, queries)
        seconds = time.monotonic() - start
        problems = list(book.problems(portfolio, balances))
        verdict = "differs from the book" if problems else "agrees with the book to the cent"
        print(
            f"{engine.__name__:<8}{seconds:6.1f} s  {len(portfolio):>6} rows of the portfolio, "
            f"{len(balances):>4} balances: {verdict}"
        )
        print(*problems[:10], sep="\n", end="\n" if problems else "")
        failed |= bool(problems)
    if failed:
        sys.exit(1)
    show(portfolio)


def duckdb(folder: Path, queries: list[str]) -> list[Rows]:
    """The answers of DuckDB, which reads the files by itself."""
    import duckdb as engine

    connection = engine.connect()
    for table in folder.iterdir():
        connection.execute(
            f"CREATE VIEW {table.name} AS "
            f"SELECT * FROM read_parquet('{table}/**/*.parquet', hive_partitioning = true)"
        )
    answers = []
    for query in queries:
        answer = connection.execute(query)
        names = [column[0] for column in answer.description]
        answers.append([dict(zip(names, row)) for row in answer.fetchall()])
    return answers


def spark(folder: Path, queries: list[str]) -> list[Rows]:
    """The answers of Spark: a master and two workers of one core each, in processes of their own."""
    from pyspark.sql import SparkSession

    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.log.level": "ERROR",
        "spark.sql.shuffle.partitions": "4",
        # Nothing is asked before both workers are there.
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        "spark.scheduler.maxRegisteredResourcesWaitingTime": "300s",
    }
    builder = SparkSession.builder.master("local-cluster[2,1,1024]")
    session = builder.config(map=settings).getOrCreate()
    for table in folder.iterdir():
        session.read.parquet(str(table)).createOrReplaceTempView(table.name)
    answers = [[row.asDict() for row in session.sql(query).collect()] for query in queries]
    # The driver is one of those that have memory.
    workers = session.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1
    session.stop()
    if workers != 2:
        sys.exit(f"Spark answered with {workers} workers instead of two")
    return answers


class Book:
    """What the CSV tables say, added up without an engine."""

    def __init__(self, folder: Path) -> None:
        self.balances = {
            (row["party"], int(row["account"]), row["counterparty"]): amount(row)
            for row in rows(folder / "balances.csv")
        }
        self.income: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
        # Of each month that has postings, by lender: principal and number of loans at its end.
        self.months: dict[date, dict[str, tuple[Decimal, int]]] = {}
        principal: dict[str, Decimal] = defaultdict(Decimal)
        parts: dict[str, dict[str, Decimal]] = defaultdict(dict)
        for row in rows(folder / "postings.csv"):
            month = date.fromisoformat(row["day"][:8] + "01")
            party, loan = row["party"], row["loan"]
            if row["account"] == INTEREST_INCOME:
                self.income[month, party] -= amount(row)
            elif row["account"] == LOANS:
                principal[party] += amount(row)
                part = parts[party].pop(loan, Decimal()) + amount(row)
                if part:
                    parts[party][loan] = part
                self.months.setdefault(month, {})[party] = (principal[party], len(parts[party]))

    def problems(self, portfolio: Rows, balances: Rows) -> Iterator[str]:
        """Everything in which answers differ from the book."""
        key = ("party", "account", "counterparty")
        yield from differences(
            "balance", self.balances, {tuple(row[name] for name in key): row["balance"] for row in balances}
        )
        every = {(row["month"], row["lender"]): row for row in portfolio if row["class"] == "all"}
        income = {key: row["interest_income"] for key, row in every.items()}
        yield from differences("interest income", drop_zeros(self.income), drop_zeros(income))
        yield from differences("principal and loans", self.held(), {
            key: (row["outstanding"], row["loans"]) for key, row in every.items() if row["loans"]
        })
        by_class: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
        for row in portfolio:
            late = [row[name] for name in row if name.startswith("late_")]
            if row["not_late"] + sum(late) != row["outstanding"]:
                yield f"{row}: the buckets do not add up"
            if row["class"] != "all":
                by_class[row["month"], row["lender"]] += row["outstanding"]
        outstanding = {key: row["outstanding"] for key, row in every.items()}
        yield from differences("sum of the classes", drop_zeros(outstanding), dict(by_class))

    def held(self) -> dict[tuple[date, str], tuple[Decimal, int]]:
        """Principal and number of loans, also in months in which a lender's did not change."""
        held, known = {}, {}
        month, last = min(self.months), max(self.months)
        while month <= last:
            known |= self.months.get(month, {})
            held |= {(month, party): now for party, now in known.items() if now[1]}
            month = date(month.year + month.month // 12, month.month % 12 + 1, 1)
        return held


def rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="") as file:
        yield from csv.DictReader(file)


def amount(row: dict[str, str]) -> Decimal:
    """Debit less credit."""
    return Decimal(row["debit"] or 0) - Decimal(row["credit"] or 0)


def drop_zeros(figures: dict[Any, Decimal]) -> dict[Any, Decimal]:
    return {key: figure for key, figure in figures.items() if figure}


def differences(what: str, ours: dict[Any, Any], theirs: dict[Any, Any]) -> Iterator[str]:
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            yield f"{what} of {key}: the book says {ours.get(key)}, the query {theirs.get(key)}"


def show(portfolio: Rows) -> None:
    """The month with the most principal."""
    totals: dict[date, Decimal] = defaultdict(Decimal)
    for row in portfolio:
        totals[row["month"]] += row["outstanding"]
    if not totals:
        return
    most = max(totals, key=lambda month: totals[month])
    names = list(portfolio[0])
    table = [names] + [[str(row[name]) for name in names] for row in portfolio if row["month"] == most]
    widths = [max(map(len, column)) for column in zip(*table)]
    print()
    for line in table:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths)))


if __name__ == "__main__":
    main()
