"""A loan from application to first payment, over the API. Start a service with a demo first:

    tandem serve examples/marketplace --demo
"""

import argparse
import json
import uuid
from pathlib import Path
from typing import Any

from tandem_client import Client

APPLICATION = Path(__file__).parents[1] / "application.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="http://127.0.0.1:8080")
    parser.add_argument("--keys", type=Path, default=Path("demo/keys"), help="keys of the demo's clients")
    parser.add_argument("--reference", default=f"A-{uuid.uuid4()}", help="key of the new application")
    options = parser.parse_args()
    platform = Client(options.base, "demo-bazaar", (options.keys / "bazaar.pem").read_bytes())
    servicer = Client(options.base, "demo-cloud", (options.keys / "cloud.pem").read_bytes())
    [agreement] = platform.get("/v1/agreements")
    root = f"/v1/agreements/{agreement['id']}"
    print(f"{agreement['title']}, business date {agreement['business_date']}")

    application = json.loads(APPLICATION.read_text()) | {"reference": options.reference}
    # Application and key are the caller's: submitted again, it gives the same answer.
    decided = platform.post(f"{root}/applications", application, key=options.reference)
    print(f"{options.reference}: {decided['state']}", *decided.get("reasons", []))
    if decided["state"] != "offered":
        return
    for part in decided["offer"]["parts"]:
        print(f"  {part['lender']} funds {money(part['amount'])} at {part['rate']}")

    platform.post(f"{root}/applications/{options.reference}/acceptance")
    loan = f"{root}/loans/{options.reference}"
    schedule = platform.get(f"{loan}/schedule")
    first = sum(schedule[0][part]["amount"] for part in ("principal", "interest", "fees"))
    first = {"amount": first, "currency": agreement["currency"]}
    print(f"{len(schedule)} instalments, the first of {money(first)} on {schedule[0]['due']}")

    receipt = servicer.post(f"{loan}/payments", {"reference": f"{options.reference}-1", "amount": first})
    standing = servicer.get(loan)
    print(f"payment {receipt['reference']}: {receipt['outcome']}; received {money(standing['totals']['received'])}")
    for posting in servicer.get(f"{loan}/postings"):
        print(f"  {posting['account']} {posting['account_name']:<32}{money(posting['amount']):>18}")


def money(money: dict[str, Any]) -> str:
    return f"{money['amount'] / 100:,.2f} {money['currency']}"


if __name__ == "__main__":
    main()
