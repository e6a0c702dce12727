#!/usr/bin/env python3
"""Fits the points of the shipped spam rules, and says what they find. docs/spam-rules.md tells how and why.

    spam_scores.py split FOLDER                 paths of a folder's mails, "train" or "held" before each
    spam_scores.py fit   --rules filters/spam --spam HITS... --ham HITS... [--own HITS...] [--write]
    spam_scores.py count --rules filters/spam --hits HITS...

HITS are files of `tamis scan --json MAIL...`. Only the names of the rules that hit are used, so that they serve for any
points, as long as no rule has 0 (such a rule is not asked).
"""

import argparse
import glob
import hashlib
import json
import math
import os
import re
import sys

FLAGGED = 5.0  # a mail is flagged from so many points on
CAP = 3.5  # no rule alone may flag a mail, and two hardly
FLOOR = 0.1  # a rule of 0 points is not asked
FEW = 8  # a rule that hit fewer mails keeps the points its writer gave
HAM_WEIGHT = 30.0  # a good mail flagged costs as much as so many spam mails missed
OWN_WEIGHT = 60.0  # the same for our own mails, which stand for all modern mail
PULL = 0.3  # how strongly points are held to those the writer gave
SPAM_MARGIN = 1.0  # points by which spam should be over the threshold
HAM_MARGIN = 2.0  # points by which good mail should be under it: what is unseen varies
TOPIC_CAP = 1.5  # what words may count alone that honest shops, newsletters and forms of today use too
TOPICS = frozenset(
    "CARD_ACCOUNTS CASINO_BONUS FILL_FORM HERBS_FOR_BODY JOB_TOO_GOOD MIRACLE_CURE NAMES_FOR_SALE PRINTER_SUPPLIES "
    "TRAVEL_PRIZE UNSUBSCRIBE_BY_POST".split()
)
ROUNDS = 1500
STEP = 0.02


def held_out(path):
    """True for the third of a corpus that nobody may look into: SHA-256 of the file's name, modulo 3, is 0."""
    digest = hashlib.sha256(os.path.basename(path).encode()).hexdigest()
    return int(digest, 16) % 3 == 0


def read_hits(files):
    """(path, names of rules) of each mail."""
    mails = []
    for name in files:
        with open(name, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                report = json.loads(line)
                rules = report.get("rules", report.get("r", []))
                names = [rule["name"] if isinstance(rule, dict) else rule[0] for rule in rules]
                mails.append((report.get("file", report.get("f")), names))
    return mails


def read_points(folder):
    """Points of each rule, and where they stand: name -> (points, file, line)."""
    points = {}
    for name in sorted(glob.glob(os.path.join(folder, "*.cf"))):
        with open(name, encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                found = re.match(r"score\s+(\S+)\s+(-?[\d.]+)\s*$", line)
                if found:
                    points[found[1]] = (float(found[2]), name, number)
    return points


def fit(points, spam, ham, own):
    """Points that separate spam from ham, by gradient descent on the logistic loss, within bounds."""
    free = {name for name, (value, _, _) in points.items() if 0 < value < 50}
    count = {}
    for _, names in spam + ham + own:
        for name in names:
            count[name] = count.get(name, 0) + 1
    ham_count = {}
    for _, names in ham + own:
        for name in names:
            ham_count[name] = ham_count.get(name, 0) + 1
    cap = {name: TOPIC_CAP if name in TOPICS else CAP for name in free}
    start = {name: min(points[name][0], cap[name]) for name in free}
    now = dict(start)
    fitted = sorted(name for name in free if count.get(name, 0) >= FEW or ham_count.get(name, 0) > 0)
    # A rule that hits ham is bounded the more tightly the more of its hits are ham.
    bound = {name: max(FLOOR, cap[name] * (1 - 4 * ham_count.get(name, 0) / count[name])) for name in fitted}
    rows = [([n for n in names if n in free], 1.0, 1.0) for _, names in spam]
    rows += [([n for n in names if n in free], 0.0, HAM_WEIGHT) for _, names in ham]
    rows += [([n for n in names if n in free], 0.0, OWN_WEIGHT) for _, names in own]
    for turn in range(ROUNDS):
        gradient = dict.fromkeys(fitted, 0.0)
        for names, wanted, weight in rows:
            value = sum(now[name] for name in names)
            away = value - FLAGGED - SPAM_MARGIN if wanted else value - FLAGGED + HAM_MARGIN
            chance = 1 / (1 + math.exp(-max(-30.0, min(30.0, 1.5 * away))))
            slope = weight * (chance - wanted)
            if abs(slope) > 1e-4:
                for name in names:
                    if name in gradient:
                        gradient[name] += slope
        for name in fitted:
            slope = gradient[name] / math.sqrt(count[name]) + PULL * (now[name] - start[name])
            step = STEP * (1 - turn / ROUNDS)
            moved = now[name] - step * max(-5.0, min(5.0, slope))
            now[name] = max(FLOOR, min(bound[name], moved))
    return {name: round(now[name], 1) for name in now if name in bound or name in TOPICS}


def share(mails, points):
    """How many mails are flagged, and the mails with their sums, the worst first."""
    sums = sorted(((round(sum(points.get(n, 0.0) for n in names), 3), path) for path, names in mails), reverse=True)
    return sum(value >= FLAGGED for value, _ in sums), sums


def say(title, mails, points, worst=0):
    flagged, sums = share(mails, points)
    if mails:
        print(f"{title:28} {len(mails):5} mails  {flagged:5} flagged  {100 * flagged / len(mails):6.2f} %")
    for value, path in sums[:worst]:
        print(f"    {value:6.2f}  {path}")


def write(points, new):
    """Puts the new points into the rule files."""
    changes = {}
    for name, (value, path, number) in points.items():
        if name in new and abs(new[name] - value) > 1e-9:
            changes.setdefault(path, {})[number] = new[name]
    for path, lines in changes.items():
        with open(path, encoding="utf-8") as file:
            text = file.readlines()
        for number, value in lines.items():
            text[number] = re.sub(r"-?[\d.]+\s*$", f"{value:.1f}\n", text[number])
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(text)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", choices=["split", "fit", "count"])
    arguments.add_argument("folder", nargs="?")
    arguments.add_argument("--rules", default="filters/spam")
    for name in ("spam", "ham", "own", "hits"):
        arguments.add_argument(f"--{name}", nargs="*", default=[])
    arguments.add_argument("--write", action="store_true")
    arguments.add_argument("--worst", type=int, default=0)
    given = arguments.parse_args()
    if given.what == "split":
        for path in sorted(glob.glob(os.path.join(given.folder or ".", "**", "*.eml"), recursive=True)):
            print("held " if held_out(path) else "train", path)
        return
    points = read_points(given.rules)
    values = {name: value for name, (value, _, _) in points.items()}
    if given.what == "count":
        for name in given.hits:
            say(os.path.basename(name), read_hits([name]), values, given.worst)
        return
    spam, ham, own = read_hits(given.spam), read_hits(given.ham), read_hits(given.own)
    spam = [mail for mail in spam if not held_out(mail[0])]
    ham = [mail for mail in ham if not held_out(mail[0])]
    new = fit(points, spam, ham, own)
    for title, mails in (("spam", spam), ("ham", ham), ("our own ham", own)):
        say(f"{title}, before", mails, values)
        say(f"{title}, after", mails, {**values, **new})
    if given.write:
        write(points, new)


if __name__ == "__main__":
    sys.exit(main())
