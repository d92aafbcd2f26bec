"""Wake-ups for the rows of a payment, worked off by the payment jobs. Each is a new task, however often it is asked."""

from uuid import UUID

from shared.kernel.messages import Task

_QUEUE = "payments"


def capture_task(attempt_id: UUID) -> Task:
    return Task(_QUEUE, "/jobs/payments/capture", {"attempt_id": str(attempt_id)})


def refund_task(refund_id: UUID) -> Task:
    return Task(_QUEUE, "/jobs/payments/refund", {"refund_id": str(refund_id)})


def tracking_task(shipment_id: UUID) -> Task:
    return Task(_QUEUE, "/jobs/payments/track", {"shipment_id": str(shipment_id)})


def documents_task() -> Task:
    """What the schedule does each minute: every document that is owed gets its number."""
    return Task(_QUEUE, "/jobs/payments/issue-documents", {})


def webhook_task(event_id: UUID) -> Task:
    return Task(_QUEUE, "/jobs/payments/apply-webhook", {"webhook_event_id": str(event_id)})
