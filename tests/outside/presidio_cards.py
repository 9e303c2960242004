"""What presidio takes for card numbers in each file: `presidio_cards.py FILE…`, lines of JSON, `[[line, text], …]` a file.

Only its recogniser for cards is asked, without a language model: it goes by patterns and the check digit.
"""

import json
import sys

from presidio_analyzer.predefined_recognizers import CreditCardRecognizer

recogniser = CreditCardRecognizer()
for file in sys.argv[1:]:
    with open(file, encoding="utf-8", newline="\n") as lines:
        found = [
            (number, line[hit.start : hit.end])
            for number, line in enumerate(lines)
            for hit in recogniser.analyze(line, ["CREDIT_CARD"], None)
        ]
    print(json.dumps(found))
