"""The Trust Services Criteria by number, in words of our own, and what the book of a gateway can show about each.

The AICPA's text is under copyright, so none of it is here: read the number in the published criteria. ``strength`` says how far
a gateway's log reaches: strong, partial or none. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Criterion:
    """A criterion, how much of it the book can show, and by which control and test (``controls.TESTS``)."""

    number: str
    words: str
    strength: str = "none"
    control: str = ""
    tests: tuple[str, ...] = ()


def _none(*pairs: tuple[str, str]) -> tuple[Criterion, ...]:
    return tuple(Criterion(number, words) for number, words in pairs)


CRITERIA: tuple[Criterion, ...] = (
    *_none(
        ("CC1.1", "people act with integrity"),
        ("CC1.2", "a board watches independently"),
        ("CC1.3", "who reports to whom is laid down"),
        ("CC1.4", "competent people are found and kept"),
        ("CC1.5", "people answer for their part of control"),
    ),
    Criterion(
        "CC2.1",
        "the information that control needs is there and good",
        "strong",
        "Each session, action, refusal and approval is written to the ledger before it takes effect.",
        ("numbered", "answered"),
    ),
    *_none(
        ("CC2.2", "control is spoken about inside"),
        ("CC2.3", "control is spoken about with outsiders"),
        ("CC3.1", "objectives are clear enough to see risks"),
        ("CC3.2", "risks are found and weighed"),
        ("CC3.3", "fraud is thought of"),
        ("CC3.4", "changes that matter are noticed"),
    ),
    Criterion(
        "CC4.1",
        "controls are tried out, on and on or at times",
        "partial",
        "The package runs its tests over every entry of the period, and anybody can run them again.",
        ("up",),
    ),
    *_none(
        ("CC4.2", "shortcomings reach those who mend them"),
        ("CC5.1", "controls that lower risks are chosen"),
        ("CC5.2", "controls over technology are chosen"),
        ("CC5.3", "controls are put to work by rules and procedures"),
    ),
    Criterion(
        "CC6.1",
        "logical access to what is protected is restricted",
        "strong",
        "Every connection proves an identity by a short-lived token; every action is decided by the rules in force; what is "
        "blocked never reaches the target; covered values do not reach the client.",
        ("identified", "decided", "blocked", "masked"),
    ),
    Criterion(
        "CC6.2",
        "access is given and taken along with people's coming and going",
        "partial",
        "Grants have an end and cannot be used after it. Who left, only the list of leavers can tell.",
        ("ended",),
    ),
    Criterion(
        "CC6.3",
        "access follows roles, least privilege and separation of duties",
        "strong",
        "What a rule holds waits for people other than who asked; access for a time has an end.",
        ("independent", "fitting", "ended", "refusing"),
    ),
    *_none(("CC6.4", "physical access is restricted"), ("CC6.5", "data is gone before its carrier leaves")),
    Criterion(
        "CC6.6",
        "the boundary holds against outsiders",
        "partial",
        "Who proves no identity, or may not open a target, is refused at the door and written down.",
        ("door",),
    ),
    Criterion(
        "CC6.7",
        "data in motion and leaving is restricted",
        "partial",
        "Answers pass the gateway, which covers what rules and detectors name.",
        ("masked",),
    ),
    Criterion(
        "CC6.8", "software that was not allowed is kept out or found", "partial", "Each start tells its build.", ("build",)
    ),
    Criterion(
        "CC7.1",
        "changes of configuration and new weaknesses are noticed",
        "partial",
        "Each configuration and each version of the rules has an entry before it is in force.",
        ("second",),
    ),
    Criterion(
        "CC7.2",
        "systems are watched for what is out of the ordinary",
        "partial",
        "Deviations are listed as exceptions; a heartbeat shows when the gateway was up.",
        ("up", "answered"),
    ),
    Criterion("CC7.3", "events are weighed", "partial", "Incidents are flagged in the book.", ("incidents",)),
    Criterion("CC7.4", "incidents are answered", "partial", "Incidents are flagged and closed in the book.", ("incidents",)),
    Criterion(
        "CC7.5", "incidents are recovered from", "partial", "Incidents are flagged and closed in the book.", ("incidents",)
    ),
    Criterion(
        "CC8.1",
        "changes are approved, tried and put in place in order",
        "partial",
        "Configurations name who made and who approved them; held statements wait for approval.",
        ("second", "independent"),
    ),
    *_none(
        ("CC9.1", "risks of interruption are lowered"),
        ("CC9.2", "risks of vendors are handled"),
        ("A1.1", "capacity is watched"),
    ),
    Criterion(
        "A1.2", "surroundings and backups keep systems available", "partial", "A heartbeat shows when it was up.", ("up",)
    ),
    *_none(("A1.3", "recovery is tried out")),
    Criterion(
        "C1.1",
        "confidential data is known and protected",
        "partial",
        "Columns that rules name, and values that detectors know, are covered in answers.",
        ("masked",),
    ),
    Criterion("C1.2", "confidential data is destroyed when it should be", "partial", "Erasures are written down.", ("erased",)),
    *_none(("PI1.1", "what processing is for is laid down")),
    Criterion(
        "PI1.2",
        "input is whole and right",
        "partial",
        "A statement is decided as its target's own grammar reads it.",
        ("decided",),
    ),
    Criterion("PI1.3", "processing is whole and right", "partial", "Each action's answer is written down.", ("answered",)),
    Criterion("PI1.4", "output is whole, right and on time", "partial", "Each action's answer is written down.", ("answered",)),
    Criterion("PI1.5", "stored data stays whole and right", "partial", "The ledger shows every later change.", ("numbered",)),
    *_none(
        ("P1.1", "people are told about privacy"),
        ("P2.1", "people have choices and consent"),
        ("P3.1", "personal data is collected for what was told"),
        ("P3.2", "explicit consent is taken where it is needed"),
    ),
    Criterion(
        "P4.1",
        "personal data is used for what it is meant for",
        "partial",
        "Covered values do not reach the client.",
        ("masked",),
    ),
    *_none(("P4.2", "personal data is kept no longer than needed")),
    Criterion("P4.3", "personal data is destroyed safely", "partial", "Erasures are written down.", ("erased",)),
    *_none(
        ("P5.1", "people can see their data"),
        ("P5.2", "people can correct their data"),
        ("P6.1", "personal data goes to others by consent only"),
    ),
    Criterion(
        "P6.2",
        "what went to others is recorded",
        "partial",
        "Who read what through the gateway has an entry each.",
        ("identified", "numbered"),
    ),
    *_none(
        ("P6.3", "what went to others without right is recorded"),
        ("P6.4", "vendors are held to privacy"),
        ("P6.5", "vendors tell of breaches"),
        ("P6.6", "breaches are told"),
        ("P6.7", "people learn who got their data"),
        ("P7.1", "personal data is right and up to date"),
        ("P8.1", "complaints are heard"),
    ),
)

NOT_PROVED = (
    "access that went round the gateway, unless it is compared with the target's own log",
    "that an identity was really the person it names",
    "how carefully somebody approved",
    "that masking found every value it should have",
    "anything a gateway wrote after somebody took over its machine or its key",
    "that its clock was right",
    "that the program that ran is the program whose source you read",
    "that the list of those who left, and what they had, is complete",
)
OPINION = "This is evidence. Only an auditor gives an opinion."
