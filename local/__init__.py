"""The local cloud: everything Vitrine needs of Google, PayPal and SendGrid on one laptop, with no account.

It imports nothing of shared/ or functions/: a simulator must not agree with our bugs.
"""
