"""One line for what happened: a constant event name and fields. Ids, not objects; no e-mail, address, token or body.

    log = Log(__name__)
    log.info("order_placed", order_id=order.id)

info = state changed, warning = handled surprise, error = a person must look. The edge decides how a line is written.
"""

import logging


class Log:
    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def info(self, event: str, **fields: object) -> None:
        self._logger.info(event, extra={"fields": fields})

    def warning(self, event: str, **fields: object) -> None:
        self._logger.warning(event, extra={"fields": fields})

    def error(self, event: str, *, exc: BaseException | None = None, **fields: object) -> None:
        self._logger.error(event, extra={"fields": fields}, exc_info=exc)
