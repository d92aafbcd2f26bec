"""Tickets and returns."""
