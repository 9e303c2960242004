#!/usr/bin/env python3
"""A third party: asks a store's POS server through the cloud, with Python's standard library alone.

    TOKEN=tws_… third_party.py CLOUD CA_FILE POS_SERVER balance ACCOUNT
    TOKEN=tws_… third_party.py CLOUD CA_FILE POS_SERVER guest card|phone NUMBER
    TOKEN=tws_… third_party.py CLOUD CA_FILE POS_SERVER raw '{"method": "GET", "path": "/…"}'

Prints what came back as one line of JSON: `{"http": 200, "answer": {…}, "seconds": 0.01}`.
"""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


def relay(cloud, context, pos_server, token, asked):
    request = urllib.request.Request(
        f"{cloud}/api/v1/pos-servers/{pos_server}/relay",
        data=json.dumps(asked).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    began = time.monotonic()
    try:
        with urllib.request.urlopen(request, context=context, timeout=60) as answer:
            http, answer = answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        http, answer = refused.code, json.load(refused)
    return {"http": http, "answer": answer, "seconds": time.monotonic() - began}


def main():
    cloud, ca, pos_server, what, *words = sys.argv[1:]
    if what == "balance":
        asked = {"method": "GET", "path": f"/guest-accounts/{urllib.parse.quote(words[0], safe='')}"}
    elif what == "guest":
        asked = {"method": "GET", "path": f"/guests?{urllib.parse.urlencode({words[0]: words[1]})}"}
    else:
        asked = json.loads(words[0])
    context = ssl.create_default_context(cafile=ca)
    print(json.dumps(relay(cloud, context, pos_server, os.environ["TOKEN"], asked)))


main()
