"""A report as the columns of FOCUS 1.2 that apply (https://focus.finops.org): one row for each kind of token. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from maas_api.models.price import Price
from maas_api.tabular import cell, written
from maas_api.usage.prices import PER, PriceBook, shown
from maas_api.usage.report import Line, Report

GROUPS: Final = ("key", "subscription", "model", "provider")
"""What a report must be grouped by, by the day."""

COLUMNS: Final = (
    "BilledCost", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass",
    "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit",
    "ContractedCost", "EffectiveCost", "ListCost", "ListUnitPrice", "PricingQuantity", "PricingUnit", "ProviderName",
    "PublisherName", "InvoiceIssuerName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory",
    "ServiceName", "SkuId", "SubAccountId", "SubAccountName", "Tags",
)  # fmt: skip


def as_focus(report: Report, book: PriceBook) -> str:
    """The rows as CSV. A quantity that no price is known for has no cost, which is empty and not zero."""
    return written(COLUMNS, (row for line in report.lines for row in _rows(report, line, book)))


def _rows(report: Report, line: Line, book: PriceBook) -> Iterator[dict[str, Any]]:
    if line.start is None:
        return
    key, subscription, model, provider = line.group
    named = report.names.get(key)
    price = book.at(model, line.start)
    tokens = line.counts.tokens
    plain = tokens.input - tokens.cached - tokens.written
    for kind, quantity, unit_price in (
        ("input", plain, price and price.input),
        ("cached input", tokens.cached, price and price.cached),
        ("cache write", tokens.written, price and price.written),
        ("output", tokens.output, price and price.output),
    ):
        if quantity:
            yield {
                **_money(price, quantity, unit_price),
                **_period(line.start),
                "ChargeCategory": "Usage",
                "ChargeClass": "",
                "ChargeDescription": cell(f"{model}: {kind} tokens"),
                "ChargeFrequency": "Usage-Based",
                "ConsumedQuantity": quantity,
                "ConsumedUnit": "Tokens",
                "ProviderName": cell(provider),
                "PublisherName": cell(provider),
                "InvoiceIssuerName": cell(provider),
                "ResourceId": cell(key),
                "ResourceName": cell(named.name) if named else "",
                "ResourceType": "API key" if key else "",
                "ServiceCategory": "AI and Machine Learning",
                "ServiceName": cell(model),
                "SkuId": cell(f"{provider}/{model}/{kind.replace(' ', '-')}"),
                "SubAccountId": cell(subscription),
                "SubAccountName": cell(subscription),
                "Tags": json.dumps(dict(named.labels), ensure_ascii=False) if named and named.labels else "",
            }


def _money(price: Price | None, quantity: int, unit_price: Decimal | None) -> dict[str, str]:
    if price is None or unit_price is None:
        return dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost", "ListUnitPrice"), "")
    cost = shown(quantity * unit_price / PER)
    return {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), cost),
        "BillingCurrency": price.currency,
        "ListUnitPrice": shown(unit_price),
        "PricingQuantity": shown(Decimal(quantity) / PER),
        "PricingUnit": "1M Tokens",
    }


def _period(day: datetime) -> dict[str, str]:
    month = day.replace(day=1)
    return {
        "ChargePeriodStart": _time(day),
        "ChargePeriodEnd": _time(day + timedelta(days=1)),
        "BillingPeriodStart": _time(month),
        "BillingPeriodEnd": _time((month + timedelta(days=32)).replace(day=1)),
    }


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
