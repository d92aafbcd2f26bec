"""Invoices and credit notes: what an order's money owes its buyer, numbered without a gap and frozen for good.

`owing` says which documents the ledger asks for, in the transaction that settles the order; `issuing` gives each its
number and its content in a step of its own; `wording`, `page` and `pdf` (Babel, Jinja2, ReportLab) show it, and are
imported only where somebody looks at one.
"""
