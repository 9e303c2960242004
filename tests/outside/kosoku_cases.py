"""Has kosoku run cases of Autobahn's, dressed for the link: `kosoku_cases.py URL HOW_MANY_AT_A_TIME CASE…`.

Prints what became of them as a line of JSON; without a URL, which cases there are. The header of kosoku.test.mjs says what
dressing is.
"""

import asyncio
import json
import os
import re
import sys
import uuid

from kosoku import FailureError, run_fuzzingclient
from kosoku.cases import CASES

# kosoku puts Autobahn's own files on the path.
from case import Case

TEXT, CONTINUATION = 1, 0
BEFORE = b'{"type":"job_finished","state":"failed","id":"%s","note":"'
BEHIND = b'"}'
DRESS = len(BEFORE % uuid.uuid4().hex.encode()) + len(str(uuid.uuid4())) - 32 + len(BEHIND)
# How much longer than the cases would a busy machine may take to answer.
PATIENCE = 5


class Link:
    """What a case speaks to: kosoku's connection, with each text dressed."""

    def __init__(self, connection):
        vars(self).update(connection=connection, texts={}, text=None)

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def __setattr__(self, name, value):
        setattr(self.connection, name, value)

    def killAfter(self, seconds):
        self.connection.killAfter(PATIENCE * seconds)

    def closeAfter(self, seconds):
        self.connection.closeAfter(PATIENCE * seconds)

    def sendMessage(self, payload, isBinary=False, **more):
        if not isBinary:
            payload = self._begin(payload) + self._end()
        self.connection.sendMessage(payload, isBinary=isBinary, **more)

    def sendFrame(self, opcode, fin=True, payload="", payload_len=None, **more):
        if payload_len is not None:
            payload = (payload * (payload_len // len(payload) + 1))[:payload_len]
        # A byte of bytes, which was a string when the cases were written.
        if isinstance(payload, int):
            payload = bytes([payload])
        if opcode == TEXT:
            payload = self._begin(payload)
        elif opcode == CONTINUATION and self._in_a_text():
            payload = self._go_on(payload)
        if fin and opcode in (TEXT, CONTINUATION) and self._in_a_text():
            payload += self._end()
        self.connection.sendFrame(opcode=opcode, fin=fin, payload=payload, **more)

    def _in_a_text(self):
        return self.text is not None

    def _begin(self, payload):
        id = str(uuid.uuid4())
        vars(self)["text"] = (id, [payload])
        wire = escaped(payload)
        # As long as it was, if it can be: lengths are what some cases are about.
        return BEFORE % id.encode() + (wire[: len(wire) - DRESS] if len(wire) >= DRESS else wire)

    def _go_on(self, payload):
        self.text[1].append(payload)
        return escaped(payload)

    def _end(self):
        id, parts = self.text
        self.texts[id] = parts[0][:0].join(parts)
        vars(self)["text"] = None
        return BEHIND

    def echo(self, answer):
        """What the acknowledged text was before it was dressed."""
        answer = json.loads(answer)
        return self.texts.pop(answer["id"]) if answer["type"] == "ack" else None


def escaped(payload):
    """As JSON has it inside a text."""
    wire = payload.encode() if isinstance(payload, str) else payload
    return re.sub(rb'[\x00-\x1f"\\]', lambda found: b"\\u%04x" % ord(found[0]), wire)


def dress(case, connection):
    link = Link(connection)
    undressed(case, link)
    judged = case.onMessage
    case.onMessage = lambda answer, binary: judged(link.echo(answer), binary)
    # The cloud's own heartbeat, of which no case knows.
    case.onPing = lambda payload: None


undressed = Case.__init__
Case.__init__ = dress


async def judge(url, at_a_time, *cases):
    # Of a run in which some fail, kosoku gives those alone.
    try:
        results = await run_fuzzingclient(url, cases, concurrency=int(at_a_time))
    except FailureError as failure:
        results = failure.results
    return [
        {
            "case": result.case_id,
            "passed": result.passed,
            "behavior": result.behavior.value,
            "close_code": result.remote_close_code,
            "why": f"{result.result} {result.result_close}",
        }
        for result in results
    ]


arguments = sys.argv[1:]
print(json.dumps(asyncio.run(judge(*arguments)) if arguments else list(CASES)), flush=True)
# Not by Python's own end, which kosoku's threads now and then run into and abort.
os._exit(0)
