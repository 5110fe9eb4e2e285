"""Text of unknown origin, made safe to show on a terminal."""


def terminal_text(text: str) -> str:
    r"""Return a text in which nothing steers the terminal or turns its letters round.

    Control characters, marks of direction and whatever else has no shape of its own are escaped.

    >>> print(terminal_text("a\x1b[31m\nb\u202ec é"))
    a\x1b[31m\nb\u202ec é
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def terminal_bytes(data: bytes) -> str:
    r"""Return bytes as text that is safe on a terminal, those that are no UTF-8 escaped.

    >>> print(terminal_bytes(b"a\xff\x00"))
    a\xff\x00
    """
    return terminal_text(data.decode(errors="backslashreplace"))


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode()
