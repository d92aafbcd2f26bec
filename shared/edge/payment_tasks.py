"""What the tasks of payments carry (shared/payments/tasks.py writes them): the id of the row to go on with."""

from uuid import UUID

from shared.edge.parsing import Body
from shared.orders.findings import RunKind


class AttemptBody(Body, frozen=True, kw_only=True):
    attempt_id: UUID


class RefundBody(Body, frozen=True, kw_only=True):
    refund_id: UUID


class ShipmentBody(Body, frozen=True, kw_only=True):
    shipment_id: UUID


class WebhookEventBody(Body, frozen=True, kw_only=True):
    webhook_event_id: UUID


class ReconcileBody(Body, frozen=True, kw_only=True):
    kind: RunKind
