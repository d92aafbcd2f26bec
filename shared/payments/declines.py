"""Whose a refused capture is: the buyer's, nobody's, or the shop's own.

PayPal Orders v2, capture, 422. What is named nowhere here is the shop's: its account, its permissions, its
configuration, or a defect of ours. No other card would cure that, and no buyer should be told that his was refused.
"""

# An approval that PayPal does not know of any more: it says nothing about anybody's money.
NOT_APPROVED = "ORDER_NOT_APPROVED"
# What another way to pay may cure, or another buyer's account; a fraud filter that the shop has set is among them.
BY_BUYER = frozenset({
    "CARD_BRAND_NOT_SUPPORTED", "COMPLIANCE_VIOLATION", "DOMESTIC_TRANSACTION_REQUIRED", "INSTRUMENT_DECLINED",
    "MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED", "PAYEE_BLOCKED_TRANSACTION", "PAYER_ACCOUNT_LOCKED_OR_CLOSED",
    "PAYER_ACCOUNT_RESTRICTED", "PAYER_ACTION_REQUIRED", "PAYER_CANNOT_PAY", "REDIRECT_PAYER_FOR_ALTERNATE_FUNDING",
    "REFERENCED_CARD_EXPIRED", "TRANSACTION_BLOCKED_BY_PAYEE", "TRANSACTION_LIMIT_EXCEEDED", "TRANSACTION_REFUSED",
})  # fmt: skip
