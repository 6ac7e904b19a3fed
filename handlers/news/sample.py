"""Writes headlines for demonstrations and tests, in the format of newsCorpora.csv:

    python -m byo_container.handlers.news.sample PATH [--rows N]

They are made of hand-written patterns and word lists, and the same each time. Standard library only.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

SEED = 99
ROWS = 4000
FIRST_TIMESTAMP_MS = 1_394_470_370_000
PUBLISHERS = ("Daily Example", "Example Times", "The Sample Post", "Sample Herald", "Placeholder News")

PATTERNS: dict[str, tuple[str, ...]] = {
    "b": (
        "{firm} shares {move} after {report}",
        "{bank} warns of {trouble} as {measure} {move}",
        "Why {firm} bets on the {market} recovery",
        "Stocks {move} on {trouble} fears",
        "{firm} to buy {firm} in ${number} billion deal",
        "{bank} {decision} as {measure} {move}",
        "{firm} profit {move} {number} percent in {quarter}",
        "Oil prices {move} as {market} traders weigh {trouble}",
        "{market} investors brace for {report}",
    ),
    "t": (
        "{maker} unveils {gadget} with {feature}",
        "Why {feature} alone may not sell the new {gadget}",
        "{maker} fixes {flaw} in {software}",
        "{probe} finds {discovery} on {planet}",
        "Scientists spot {discovery} near {planet}",
        "How to get {feature} on your {gadget}",
        "{software} update brings {feature} to {gadget} owners",
        "Hackers use {flaw} to attack {software} users",
        "{maker} {gadget} review: {feature} and little else",
    ),
    "e": (
        "{star} and {star} {romance}",
        "{star} wins {award} for {show}",
        "'{show}' {recap}",
        "Why {star} may not be in the next season of '{show}'",
        "{star} cast in {director} {genre}",
        "Watch: {star} sings at the {award}",
        "Box office: {genre} '{show}' tops the weekend",
        "{star} drops new {record} and a surprise video",
        "{director} says {genre} sequel is not the end for {star}",
    ),
    "m": (
        "{food} may {effect} {illness}, study finds",
        "Why {habit} may help you {goal}",
        "Why {habit} alone does not make {patients} lose weight",
        "The key to weight loss may be {habit}, not {habit}",
        "Is {habit} the key to a longer life? Doctors are not sure",
        "{habit} alone is no cure for {illness}",
        "{illness} cases rise in {place}, health officials say",
        "New drug may {effect} {illness} in {patients}",
        "{patients} who try {habit} {goal}, researchers say",
        "{vaccine} vaccine could {effect} {illness}",
        "Weight loss takes more than {habit}, doctors say",
        "Weight and {illness}: what {patients} should know",
        "Losing weight is harder without {habit}, study of {patients} shows",
    ),
}
WORDS: dict[str, tuple[str, ...]] = {
    "firm": ("Acme", "Globex", "Initech", "Northwind", "Contoso Motors", "Umbra Steel", "Tallgrass Energy"),
    "bank": ("Central bank", "Fed", "ECB", "Treasury", "IMF"),
    "move": ("fall", "rise", "slip", "climb", "tumble", "surge"),
    "report": ("weak earnings", "a jobs report", "the merger vote", "a profit warning", "strong sales"),
    "trouble": ("inflation", "debt", "a slowdown", "tariffs", "default", "a bank run"),
    "measure": ("interest rates", "bond yields", "wages", "exports", "retail sales", "house prices"),
    "market": ("Wall Street", "euro zone", "emerging", "housing", "London"),
    "decision": ("holds rates", "cuts stimulus", "tightens lending rules", "fines brokers"),
    "quarter": ("first quarter", "second quarter", "third quarter", "fiscal year"),
    "number": ("2", "3", "5", "7", "12", "18", "40"),
    "maker": ("Pearphone", "Gizmotron", "Macrohard", "Lumina", "Voltaic", "Sprocket Labs"),
    "gadget": ("smartphone", "tablet", "smartwatch", "laptop", "game console", "drone", "headset"),
    "feature": ("a curved screen", "fingerprint login", "4K video", "wireless charging", "offline maps"),
    "flaw": ("a security bug", "a password leak", "a crash on startup", "an encryption flaw"),
    "software": ("web browser", "operating system", "messaging app", "cloud storage", "email app"),
    "probe": ("Rover", "Space telescope", "Orbiter", "Lander"),
    "discovery": ("water ice", "a distant galaxy", "a huge crater", "an asteroid", "methane"),
    "planet": ("Mars", "Saturn", "Jupiter", "the Moon", "Pluto"),
    "star": ("Bella Lark", "Rex Danger", "Mia Fontaine", "Duke Sterling", "Ivy Monroe", "Tommy Vance"),
    "romance": ("are engaged", "split after two years", "spotted on a date", "tie the knot", "expect a baby"),
    "award": ("Golden Reel awards", "music awards", "film festival", "best actor prize"),
    "show": ("Castle of Ash", "Midnight Diner", "Captain Comet", "The Last Waltz", "Dance Floor"),
    "recap": ("recap: a wedding ends in blood", "finale shocks fans", "trailer arrives", "is renewed"),
    "director": ("Orson Vale", "Greta Holm", "Steven Pike"),
    "genre": ("superhero movie", "romantic comedy", "horror film", "musical", "TV drama"),
    "record": ("album", "single", "mixtape"),
    "food": ("Coffee", "Red wine", "Fish oil", "Dark chocolate", "A low-salt diet", "Sugar", "Green tea"),
    "effect": ("lower the risk of", "prevent", "help treat", "slow", "worsen"),
    "illness": ("diabetes", "heart disease", "obesity", "breast cancer", "flu", "asthma", "dementia"),
    "habit": ("exercise", "walking", "sleep", "yoga", "a daily workout", "dieting", "running"),
    "goal": ("lose weight", "live longer", "beat stress", "sleep better", "keep the pounds off"),
    "place": ("the Midwest", "West Africa", "three states", "city hospitals", "nursing homes"),
    "patients": ("children", "pregnant women", "older adults", "teens", "smokers", "cancer patients"),
    "vaccine": ("Measles", "HPV", "Whooping cough", "Malaria", "Ebola"),
}


def headlines(rows: int) -> Iterator[tuple[str, str]]:
    """(category, title) of `rows` headlines, the categories in turn; the same for the same number."""
    dice = random.Random(SEED)  # noqa: S311  repeatable, not secret
    codes = list(PATTERNS)
    for row in range(rows):
        code = codes[row % len(codes)]
        title = _fill(dice.choice(PATTERNS[code]), dice)
        yield code, title[0].upper() + title[1:]


def _fill(pattern: str, dice: random.Random) -> str:
    return re.sub(r"{(\w+)}", lambda match: dice.choice(WORDS[match[1]]), pattern)


def line(number: int, code: str, title: str) -> str:
    """One line of the file, newline included: eight columns with tabs between."""
    publisher = PUBLISHERS[number % len(PUBLISHERS)]
    host = f"www.{publisher.lower().replace(' ', '')}.example"
    slug = "-".join(re.findall(r"\w+", title.lower()))
    columns = (
        str(number),
        title,
        f"http://{host}/{slug}",
        publisher,
        code,
        f"story{number // 4:08d}",
        host,
        str(FIRST_TIMESTAMP_MS + 1000 * number),
    )
    return "\t".join(columns) + "\n"


def write(path: Path, rows: int = ROWS) -> None:
    """Writes a file of `rows` headlines."""
    lines = (line(number, code, title) for number, (code, title) in enumerate(headlines(rows), 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m byo_container.handlers.news.sample", description=__doc__)
    parser.add_argument("path", type=Path, help="the file to write, called newsCorpora.csv as a rule")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"how many headlines (default {ROWS})")
    given = parser.parse_args(arguments)
    write(given.path, given.rows)
    print(f"wrote {given.rows:,} headlines to {given.path}")


if __name__ == "__main__":
    main(sys.argv[1:])
