"""Whose a refused capture is: the buyer's, nobody's, or the shop's own.

PayPal Orders v2, capture, 400, 404 and 422. What is not the buyer's is taken as the shop's: its account, its
permissions, its configuration, or a defect of ours. No other card would cure that, and no buyer should be told that his
was refused. But a name that is in neither list may be a card's all the same, so it counts for the lockout.
"""

# An approval that PayPal does not know of any more: it says nothing about anybody's money.
NOT_APPROVED = "ORDER_NOT_APPROVED"
# What another way to pay may cure, or another buyer's account; a fraud filter that the shop has set is among them.
BY_BUYER = frozenset({
    "CARD_BRAND_NOT_SUPPORTED", "CARD_CLOSED", "CARD_EXPIRED", "COMPLIANCE_VIOLATION", "DOMESTIC_TRANSACTION_REQUIRED",
    "INSTRUMENT_DECLINED", "MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED", "PAYEE_BLOCKED_TRANSACTION",
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED", "PAYER_ACCOUNT_RESTRICTED", "PAYER_ACTION_REQUIRED", "PAYER_CANNOT_PAY",
    "PAYMENT_DENIED", "PAYMENT_SOURCE_CANNOT_BE_USED", "PAYMENT_SOURCE_DECLINED_BY_PROCESSOR",
    "PAYMENT_SOURCE_INFO_CANNOT_BE_VERIFIED", "REDIRECT_PAYER_FOR_ALTERNATE_FUNDING", "REFERENCED_CARD_EXPIRED",
    "TRANSACTION_BLOCKED_BY_PAYEE", "TRANSACTION_LIMIT_EXCEEDED", "TRANSACTION_REFUSED",
})  # fmt: skip
# What is refused whoever pays. While it lasts nobody is locked out for it; the last of them name no issue at all.
BY_SHOP = frozenset({
    "AUTH_CAPTURE_NOT_ENABLED", "CURRENCY_NOT_SUPPORTED_FOR_BANK", "DUPLICATE_INVOICE_ID",
    "INCOMPATIBLE_PARAMETER_VALUE", "INVALID_PARAMETER_SYNTAX", "INVALID_PARAMETER_VALUE", "INVALID_RESOURCE_ID",
    "INVALID_STRING_LENGTH", "MALFORMED_REQUEST_JSON", "MISSING_REQUIRED_PARAMETER", "NOT_ENABLED_FOR_BANK_PROCESSING",
    "NOT_ENABLED_FOR_CARD_PROCESSING", "PAYEE_ACCOUNT_INVALID", "PAYEE_ACCOUNT_LOCKED_OR_CLOSED",
    "PAYEE_ACCOUNT_RESTRICTED", "PAYEE_FX_RATE_ID_EXPIRED", "PAYEE_NOT_ENABLED_FOR_BANK_PROCESSING",
    "PAYEE_NOT_ENABLED_FOR_CARD_PROCESSING", "PERMISSION_DENIED", "SETUP_ERROR_FOR_BANK", "SHIPPING_ADDRESS_INVALID",
    "TRANSACTION_RECEIVING_LIMIT_EXCEEDED",
    "INVALID_REQUEST", "RESOURCE_NOT_FOUND", "UNPROCESSABLE_ENTITY", "HTTP_400", "HTTP_404", "HTTP_422",
})  # fmt: skip
