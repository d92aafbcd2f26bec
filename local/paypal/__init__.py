"""PayPal, as far as a shop needs it: OAuth, orders v2, payments v2, disputes v1, webhooks v1, and the buyer's page.

Held to PayPal's published schemas; imports nothing of the shop, so it cannot agree with its bugs.
"""
