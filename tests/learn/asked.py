"""Questions with answers as a teacher gives them, made by a seed: a few intents, and orders as JSON."""

import json
import random
from functools import cache

from jevons.embed import Embedder
from jevons.learn.student import Vector

INTENTS = {
    "card_arrival": (
        "Where is my new {c} card?",
        "My {c} card has not come yet",
        "When will the {c} card that I ordered arrive?",
    ),
    "top_up_failed": ("My top up of {n} failed", "Why was topping up {n} declined?", "I cannot add {n} to my account"),
    "exchange_rate": (
        "What is the exchange rate for {c}?",
        "How do you convert {c} to pounds?",
        "Is the rate of {c} good today?",
    ),
    "lost_phone": ("I lost my {c} phone", "Someone stole my phone, it is {c}", "My {c} phone is gone, what now?"),
    "close_account": (
        "Please close my account {n}",
        "I want to leave, delete account {n}",
        "How can I cancel account number {n}?",
    ),
}
CLASSES = ("red", "blue", "green", "black", "white", "silver", "golden", "grey", "euro", "dollar", "yen", "franc", "krone")
PEOPLE = (
    "Ann Lee",
    "Bo Chen",
    "Carla Diaz",
    "Dan O'Hara",
    "Eve Park",
    "Finn Berg",
    "Gita Rao",
    "Hans Vogel",
    "Ines Costa",
    "Jo Kim",
)
CITIES = ("Paris", "New York", "Rome", "San Jose", "Oslo", "Cape Town", "Lima", "Hong Kong", "Cairo", "Las Vegas")
GOODS = ("chairs", "lamps", "tables", "desks", "shelves", "sofas")
ORDERS = (
    "Please send {n} {g} to {p} in {c}.",
    "{p} from {c} wants {n} {g}",
    "{n} {g} for {p}, {c}",
    "Order: {g}, {n} pieces. Customer {p}, ship to {c}. Express!",
)


@cache
def embedder() -> Embedder:
    return Embedder()


def embed(text: str) -> Vector:
    return embedder().vector(text)


def intents(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """(question, intent), hardly ever the same twice."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        intent = chance.choice(list(INTENTS))
        asked = chance.choice(INTENTS[intent]).format(c=chance.choice(CLASSES), n=chance.randrange(10, 10_000))
        made.append((f"{asked} {chance.choice(('Thanks', 'Please help', 'Hurry', ''))}".strip(), intent))
    return made


def orders(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """(question, JSON of what stands in it)"""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        number, goods, person, city = (
            chance.randrange(1, 500),
            chance.choice(GOODS),
            chance.choice(PEOPLE),
            chance.choice(CITIES),
        )
        asked = chance.choice(ORDERS).format(n=number, g=goods, p=person, c=city)
        told = {
            "quantity": number,
            "item": goods,
            "customer": person,
            "city": city.upper(),
            "urgent": "Express" in asked,
            "version": 2,
        }
        made.append((asked, json.dumps(told)))
    return made
