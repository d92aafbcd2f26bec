"""SendGrid, as far as a shop needs it: mail send v3, an inbox, and the signed event webhook.

Like SendGrid it never removes duplicates: what is sent twice is delivered twice.
"""
