"""PayPal, Shippo, SendGrid: verify, record once, hand over."""
