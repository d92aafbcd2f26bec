"""Mails to buyers: what happens becomes a row, the row a mail, and the vendor's event webhook says what became of it.

`mailing.announce` consumes the events of the topic `orders`, `mailing.sweep` looks after rows that stay open: both in
functions/notify. SendGrid's signed events come to POST /v1/webhooks/sendgrid in functions/webhooks, whose body is

    events = signed_events().read(call.headers, call.raw)            # raises SignatureRefused: 401, to be counted
    delivery.record(events, mails=Mails(database()), clock=clock)    # then 200

with a cached SignedEvents(sendgrid_key) of shared.gateways.sendgrid_events and Mails of shared.persistence.mails. There
neither templates nor the vendor's library are imported: `writing` (Jinja2, Babel) belongs to notify alone.
"""
