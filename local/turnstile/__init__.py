"""The Turnstile simulator: siteverify as Cloudflare's page on server-side validation describes it.

https://developers.cloudflare.com/turnstile/get-started/server-side-validation/
"""
