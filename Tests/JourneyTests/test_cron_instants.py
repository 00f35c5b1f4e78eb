"""`casemate schedule next`: instants as croniter has them on days without a change of the clocks, and as the rules say around each change.

croniter has its own ideas of changed clocks, so it is asked about local time alone. What is to come around a change is found by looking at
every minute of those days, once as UTC and once as the place's clock has it.
"""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise, product
from zoneinfo import ZoneInfo

import pytest
from casemate_fixture import binary, clean_environment
from moto_server import PYTHON

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
BEGIN, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"]
CHANGES = [
    ("Pacific/Apia", "2011-12-30"),  # a day that was not
    ("Pacific/Kwajalein", "1993-08-21"),  # another, after a transition at midnight
    ("Pacific/Chatham", "2025-09-28"),  # 12:45 to 13:45
    ("Pacific/Chatham", "2026-04-05"),
    ("Australia/Lord_Howe", "2025-10-05"),  # by half an hour
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Asia/Beirut", "2025-03-30"),  # at midnight
    ("Asia/Beirut", "2025-10-26"),
    ("America/Havana", "2025-11-02"),  # back to midnight
    ("America/Santiago", "2025-09-07"),
    ("Africa/Casablanca", "2026-02-15"),  # summer time is the normal one
    ("Africa/Casablanca", "2026-03-22"),
    ("America/Caracas", "2016-05-01"),  # another offset for good, by half an hour
    ("Asia/Pyongyang", "2018-05-04"),
    ("Asia/Kathmandu", "1986-01-01"),  # by a quarter
    ("Antarctica/Troll", "2025-03-30"),  # by two hours
    ("Antarctica/Troll", "2025-10-26"),
]
CHOSEN = [
    # By elapsed time.
    "* * * * *", "*/5 * * * *", "0 * * * *", "@hourly", "30 * * * *", "15,45 */2 * * *", "0 */3 * * 1-5", "7 */6 1 * *", "50/3 *,1 * * *",
    # By the clock, where clocks are changed.
    "0 0 * * *", "@daily", "@midnight", "0 1 * * *", "30 1 * * *", "59 1 * * *", "0 2 * * *", "15 2 * * *", "30 2 * * *", "45 2 * * *",
    "0 3 * * *", "*/15 2 * * *", "*/20 0-4 * * *", "0,30 1-3 * * SUN", "* 2 * 3,10 0", "0 0-23 * * 7", "5 0-22/2 * * *", "45 12,13 * * *",
    # Days by month, by week, by both.
    "30 2 29 2 *", "0 0 31 * *", "0 9 1,15 * 1", "0 9 13 * FRI", "0 9 */2 * 1", "0 9 1-7 * */3", "0 12 * jan-jun/2 mon-fri", "0 0 * * 5-7",
    "30 3 10/5 2,4 *", "59 23 31 12 *", "@weekly", "@monthly", "@yearly", "@annually",
    # Steps and names at the edges of their fields.
    "0-59/59 4 * * *", "1/29 4 * * *", "0 1-23/22 * * *", "0 5 2/29 * *", "0 5 1 1/11 *", "0 5 * * 1-7/2", "0 5 * * 0/6", "08 05 01 01 *",
]  # fmt: skip
WHERE_CLOCKS_CHANGE = [
    "* * * * *", "*/7 */2 * * *", "0 0 * * *", "30 1 * * *", "15,45 2 * * *", "*/20 0-4 * * *", "10 0-23 * * *", "5 13 * * *",
    "0 9 30 * *", "0 12,23 * * 1-5",
]  # fmt: skip


# ---------------------------------------------------------------- the rules, read a second time


@dataclass(frozen=True)
class Cron:
    """An expression as sets of numbers. None of its fields is wrong."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool
    elapsed: bool

    def on(self, day: date) -> bool:
        by_month, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (by_month or by_week if self.either else by_month and by_week)

    def at(self, hour: int, minute: int) -> bool:
        return minute in self.minutes and hour in self.hours


FORMS = {"@hourly": "0 * * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
FORMS |= dict.fromkeys(["@daily", "@midnight"], "0 0 * * *") | dict.fromkeys(["@yearly", "@annually"], "0 0 1 1 *")
NAMES = "jan feb mar apr may jun jul aug sep oct nov dec".split(), "sun mon tue wed thu fri sat".split()


def numbers(field: str, low: int, high: int, names: list[str]) -> frozenset[int]:
    def number(text: str) -> int:
        return names.index(text) + low if text in names else int(text)

    found: set[int] = set()
    for item in field.lower().split(","):
        span, _, step = item.partition("/")
        first, _, last = ("", "", "") if span == "*" else span.partition("-")
        start = number(first) if first else low
        end = number(last) if last else high if step or not first else start
        found |= set(range(start, end + 1, int(step or 1)))
    return frozenset(found)


@cache
def cron(text: str) -> Cron:
    minute, hour, day, month, weekday = FORMS.get(text, text).split()
    return Cron(
        numbers(minute, 0, 59, []),
        numbers(hour, 0, 23, []),
        numbers(day, 1, 31, []),
        numbers(month, 1, 12, NAMES[0]),
        frozenset(number % 7 for number in numbers(weekday, 0, 6, NAMES[1])),
        either=not day.startswith("*") and not weekday.startswith("*"),
        elapsed=hour.startswith("*"),
    )


def days(begin: date, end: date) -> Iterator[date]:
    return (begin + DAY * count for count in range((end - begin).days))


def random_field(choice: random.Random, low: int, high: int, star: float) -> str:
    """What both take in the same sense: croniter reads 5-5 as all there is, and a list of all there is as a star."""

    def item() -> str:
        first, last = sorted(choice.sample(range(low, high + 1), 2))
        step = choice.randint(1, max(1, (last - first) // 2))
        return choice.choice([f"{first}", f"{last}", f"{first}-{last}", f"{first}-{last}/{step}", f"{first}/{step}"])

    if choice.random() < star:
        return choice.choice(["*", "*", f"*/{choice.randint(2, (high - low) // 2)}"])
    while True:
        field = ",".join(item() for _ in range(choice.choice([1, 1, 2, 3])))
        if len(numbers(field, low, high, [])) <= high - low:
            return field


def random_crons(count: int) -> Iterator[str]:
    choice = random.Random(2035)
    while count:
        fields = [(0, 59, 0.1), (0, 23, 0.3), (1, 31, 0.6), (1, 12, 0.7), (0, 6, 0.6)]
        text = " ".join(random_field(choice, low, high, star) for low, high, star in fields)
        if any(map(cron(text).on, days(BEGIN.date(), END.date()))):
            count -= 1
            yield text


# ---------------------------------------------------------------- around a change of the clocks


@cache
def transitions(zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """The first instants of another offset; no two are within a day."""
    place, found = ZoneInfo(zone), []
    while begin < end:
        low, high = begin, begin + DAY
        offset = low.astimezone(place).utcoffset()
        if high.astimezone(place).utcoffset() != offset:
            while high - low > timedelta(seconds=1):
                middle = (low + (high - low) / 2).replace(microsecond=0)
                if middle.astimezone(place).utcoffset() == offset:
                    low = middle
                else:
                    high = middle
            found.append(high)
        begin += DAY
    return found


@dataclass
class Around:
    """The days around one change. A minute is when it comes, and what the clock shows then."""

    dates: set[date]
    elapsed: list[tuple[datetime, datetime]]
    clock: list[tuple[datetime, datetime]]

    def instants(self, what: Cron) -> list[datetime]:
        wanted = {day for day in self.dates if what.on(day)}
        minutes = self.elapsed if what.elapsed else self.clock
        return sorted({at for at, local in minutes if local.date() in wanted and what.at(local.hour, local.minute)})


@cache
def around(zone: str, change: datetime) -> Around:
    place = ZoneInfo(zone)
    first = (change - MINUTE).astimezone(place).date() - DAY
    dates = set(days(first, change.astimezone(place).date() + 2 * DAY))
    begin = datetime.combine(first, datetime.min.time())
    shown = [begin + MINUTE * count for count in range(len(dates) * 1440)]

    def comes(local: datetime) -> datetime:
        at = local.replace(tzinfo=place, fold=0).astimezone(UTC)
        skipped = at.astimezone(place).replace(tzinfo=None) != local
        return change if skipped else at

    real = [begin.replace(tzinfo=UTC) - 2 * DAY + MINUTE * count for count in range((len(dates) + 4) * 1440)]
    lived = [(at, at.astimezone(place).replace(tzinfo=None)) for at in real]
    return Around(dates, [(at, local) for at, local in lived if local.date() in dates], [(comes(m), m) for m in shown])


# ---------------------------------------------------------------- what is compared


@dataclass(frozen=True)
class Case:
    text: str
    zone: str
    begin: datetime
    end: datetime

    def told(self) -> list[datetime]:
        """By the binary, without the ends of the time that was asked for."""
        span = ["--from", f"{self.begin:%Y-%m-%dT%H:%M:%SZ}", "--until", f"{self.end:%Y-%m-%dT%H:%M:%SZ}"]
        done = subprocess.run(
            [str(binary()), "schedule", "next", self.text, "--timezone", self.zone, *span, "--json"],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{self}: {done.stderr}"
        found = [datetime.fromisoformat(text) for text in json.loads(done.stdout)["instants"]]
        assert all(earlier < later for earlier, later in pairwise(found)), self
        return [at for at in found if self.begin < at < self.end]

    def arounds(self) -> list[Around]:
        return [
            around(self.zone, change)
            for change in transitions(self.zone, BEGIN, END)
            if self.begin - 4 * DAY < change < self.end + 4 * DAY
        ]

    def check(self, croniter: list[datetime]) -> None:
        place, told = ZoneInfo(self.zone), self.told()
        changed = self.arounds()
        near: set[date] = set().union(*(one.dates for one in changed))
        expected = [at for one in changed for at in one.instants(cron(self.text))]
        expected += [local.replace(tzinfo=place).astimezone(UTC) for local in croniter if local.date() not in near]
        assert_same(self, told, sorted({at for at in expected if self.begin < at < self.end}))


def assert_same(what: object, told: list[datetime], expected: list[datetime]) -> None:
    if told != expected:
        extra, missing = sorted(set(told) - set(expected))[:5], sorted(set(expected) - set(told))[:5]
        pytest.fail(f"{what}: not expected {list(map(str, extra))}, missing {list(map(str, missing))}")


MOST = 400
"""So many instants of a case are about enough; those that come once a day are compared over all ten years."""


def case(text: str, zone: str, choice: random.Random) -> Case:
    what = cron(text)
    a_day = len(what.hours) * len(what.minutes)
    if a_day == 1:
        return Case(text, zone, BEGIN, END)
    of_ten_years = sum(map(what.on, days(BEGIN.date(), END.date())))
    length = DAY * min((END - BEGIN).days, max(4, (END - BEGIN).days * MOST // (a_day * of_ten_years)))
    # Where it can be, with a change of the clocks inside.
    changes = [at for at in transitions(zone, BEGIN, END) if BEGIN + length < at < END - length]
    middle = choice.choice(changes) if changes else BEGIN + (END - BEGIN) / 2
    begin = max(BEGIN, (middle - length / 2).replace(hour=0, minute=0, second=0, microsecond=0))
    return Case(text, zone, begin, min(END, begin + length))


def cases() -> Iterator[Case]:
    choice = random.Random(2025)
    for zone in ZONES:
        yield from (case(text, zone, choice) for text in CHOSEN)
    for index, text in enumerate(random_crons(60)):
        yield case(text, ZONES[index % len(ZONES)], choice)


_CRONITER = """
import json, sys
from croniter import croniter
from datetime import datetime
answers = []
for text, begin, end in json.load(sys.stdin):
    # Without this a day matches by either field, also where one of them begins with a star.
    iterator = croniter(text, datetime.fromisoformat(begin), ret_type=datetime, implement_cron_bug=True)
    found = []
    while (at := iterator.get_next()) < datetime.fromisoformat(end):
        found.append(at.isoformat())
    answers.append(found)
json.dump(answers, sys.stdout)
"""

Answers = Callable[[Case], list[datetime]]


@pytest.fixture(scope="module")
def croniter() -> Answers:
    """Local times. Those of ten years are the same in all zones, and so asked for once."""

    def question(case: Case) -> tuple[str, str, str]:
        begin, end = (
            (at + sign * 2 * DAY).replace(tzinfo=None).isoformat() for at, sign in ((case.begin, -1), (case.end, 1))
        )
        return case.text, begin, end

    questions = sorted({question(case) for case in cases()})
    done = subprocess.run(
        [PYTHON, "-c", _CRONITER], input=json.dumps(questions), capture_output=True, text=True, timeout=120, check=True
    )
    answers = dict(zip(questions, json.loads(done.stdout)))
    return lambda case: [datetime.fromisoformat(text) for text in answers[question(case)]]


@pytest.mark.parametrize("zone", ZONES)
def test_ten_years_are_croniter_s_and_around_each_change_the_rules(croniter: Answers, zone: str) -> None:
    for case in cases():
        if case.zone == zone:
            case.check(croniter(case))


@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_around_a_change_of_the_clocks_instants_are_as_the_rules_say(zone: str, day: str) -> None:
    middle = datetime.fromisoformat(day).replace(tzinfo=UTC)
    (change,) = transitions(zone, middle - 2 * DAY, middle + 2 * DAY)
    # Also from within the time that the clock shows again.
    for text, begin in product(WHERE_CLOCKS_CHANGE, [change - DAY, change + 10 * MINUTE]):
        case = Case(text, zone, begin, change + DAY)
        expected = around(zone, change).instants(cron(text))
        assert_same(case, case.told(), [at for at in expected if case.begin < at < case.end])


def test_every_case_has_an_instant_to_compare(croniter: Answers) -> None:
    assert sum(len(croniter(case)) for case in cases()) > 100_000
    assert all(croniter(case) for case in cases() if (case.begin, case.end) == (BEGIN, END))
