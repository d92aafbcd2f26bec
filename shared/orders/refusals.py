"""What PayPal's refusals of a refund mean to staff: a sentence on what to do, and whether asking again makes sense.

PayPal Payments v2, captures refund, 422 (and 400, 404); a refund that PayPal had taken may also end badly later.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Advice:
    sentence: str
    retryable: bool


# Somebody has given money back in PayPal's own dashboard, and its notice has not reached us: looking there tells.
BEHIND_OUR_BACK = frozenset({"CAPTURE_FULLY_REFUNDED", "REFUND_AMOUNT_EXCEEDED"})

_ADVICE = {
    "TRANSACTION_DISPUTED": Advice(
        "The buyer has an open case about this payment. Answer it in PayPal's Resolution Center, and try again once it"
        " is closed.",
        retryable=True,
    ),
    "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": Advice(
        "The buyer's bank has taken the payment back, so a refund would pay twice. Wait for the chargeback to be"
        " decided; if it is decided for you, try again.",
        retryable=True,
    ),
    "REFUND_FAILED_INSUFFICIENT_FUNDS": Advice(
        "Your PayPal balance is too low. Add money to it, or a bank account that covers refunds, and try again.",
        retryable=True,
    ),
    "PENDING_CAPTURE": Advice("The payment itself is still pending at PayPal. Try again once it is completed.", True),
    "PAYEE_ACCOUNT_RESTRICTED": Advice(
        "PayPal has restricted your account. Put that right in PayPal's Resolution Center, and try again.", True
    ),
    "PAYEE_ACCOUNT_LOCKED_OR_CLOSED": Advice(
        "Your PayPal account is locked or closed. Talk to PayPal, and try again when it is open.", True
    ),
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED": Advice(
        "The buyer's PayPal account is locked or closed. Ask the buyer for another way to give the money back.", False
    ),
    "MAX_NUMBER_OF_REFUNDS_EXCEEDED": Advice(
        "PayPal takes no more refunds of this payment. Give the rest back by another way, for instance a transfer.",
        False,
    ),
    "REFUND_TIME_LIMIT_EXCEEDED": Advice(
        "The payment is too old for PayPal to refund (180 days). Give the money back by another way.", False
    ),
    "CAPTURE_FULLY_REFUNDED": Advice(
        "The whole payment has gone back already, probably in PayPal's own dashboard. Nothing is left to do.", False
    ),
    "REFUND_AMOUNT_EXCEEDED": Advice(
        "Less of the payment is left than that, probably because of a refund in PayPal's own dashboard. Look at the"
        " order again, and refund what is left.",
        False,
    ),
    "PARTIAL_REFUND_NOT_ALLOWED": Advice("PayPal refunds this payment only as a whole. Refund all of it.", False),
    "REFUND_NOT_ALLOWED": Advice("PayPal does not refund this payment. Give the money back by another way.", False),
    "REFUND_IS_RESTRICTED": Advice(
        "PayPal lets only those refund this payment who took it. Look at it in PayPal's dashboard.", False
    ),
    "REFUND_AMOUNT_TOO_LOW": Advice("The amount is too low for PayPal. Refund a larger one.", False),
    "REFUND_FAILED": Advice("PayPal had taken the refund, and could not carry it out. Try again.", True),
    "REFUND_CANCELLED": Advice("The refund was cancelled at PayPal. Try again if it is still wanted.", True),
}
_UNKNOWN = Advice(
    "PayPal has refused this refund. Look at the payment in PayPal's dashboard, and try again or give the money back by"
    " another way.",
    retryable=True,
)


def advise(failure: str | None) -> Advice:
    """What to do about a refund that failed so."""
    return _ADVICE.get(failure or "", _UNKNOWN)
