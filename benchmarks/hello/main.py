"""The floor of every start and of every answer: functions-framework with nothing in it."""


def hello(request: object) -> str:
    return "hello"
