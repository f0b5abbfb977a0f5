# SPDX-License-Identifier: GPL-2.0-only
"""Something for python to do while it is recorded: the words of some files."""

import collections
import json
import re
import sys

words = collections.defaultdict(list)
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as stream:
        for number, line in enumerate(stream):
            for word in re.findall(r"\w+", line):
                words[word].append(number)
text = json.dumps({word: numbers[:8] for word, numbers in words.items()})
most = sorted(json.loads(text), key=lambda word: (-len(words[word]), word))
print("  " + " ".join(most[:6]))
