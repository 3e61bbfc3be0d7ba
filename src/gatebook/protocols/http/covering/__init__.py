"""What HTTP carries, covered on its way: the coverers of contents, and which of them an answer needs.

``choosing.py`` says for an answer whether it is covered, passes as it is, or cannot be read and so may not pass. A coverer
takes the content as it comes and gives what the client may see, as soon as it can: ``feed`` and ``finish``. It holds back what
it cannot judge yet, never more than it says, and raises WireError for what it cannot read; then the answer must end, since the
rest of it would be read wrong.

From the outside in: content codings (``codings.py``), credentials of the target anywhere in the bytes (``needles.py``),
character sets (``charsets.py``), and the type itself: JSON (``json_walk.py`` knows its grammar, ``leaves.py`` covers a value),
lines and events of JSON (``lines.py``, ``events.py``), tables, forms and parts (``tables.py``, ``forms.py``, ``parts.py``),
text and markup (``text.py``). ``plan.py`` is what all of them follow.

The same bytes come out however the content was cut. What these files refuse to know: policy, sessions, sockets, time.
"""
