"""What the checks share: the running stack, the keys minted on it, and how a check fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from maas_api.demo.report import Finding
from maas_api.demo.seed import CALLS
from maas_api.demo.simulators.server import Received
from maas_api.demo.stack import Stack

LOCAL = CALLS[0]
"""The in-cluster model: always simulated, so many calls cost nobody anything."""


class CheckError(Exception):
    """A promise did not hold. The message says what was seen instead."""


@dataclass
class Session:
    """What the checks share: the stack, the MaaS keys minted so far (the first one is the user's)."""

    stack: Stack
    keys: list[str]

    @property
    def key(self) -> str:
        """The user's MaaS key."""
        return self.keys[0]

    def mint(self, name: str) -> tuple[str, str]:
        """Mint a key with the platform token, as the validation does. Returns (id, key); raises CheckError."""
        user = self.stack.user
        answer = self.stack.client.call(
            "POST", "/maas-api/v1/api-keys", credential=user.token, body={"name": name, "expiresIn": "1d"}
        )
        require(answer.status == 201, f"POST /maas-api/v1/api-keys: {answer.brief()}")
        minted = answer.json()
        self.keys.append(minted["key"])
        return minted["id"], minted["key"]


Check = Callable[[Session], str]


def run(promise: str, check: Check, session: Session) -> Finding:
    """Run one check. Whatever goes wrong is a finding too."""
    try:
        return Finding(promise, True, check(session))
    except CheckError as fault:
        return Finding(promise, False, str(fault))
    except Exception as fault:  # a check that cannot be carried out has not passed
        return Finding(promise, False, f"could not be checked: {type(fault).__name__}: {fault}")


def require(holds: bool, otherwise: str) -> None:
    """Raise CheckError with ``otherwise`` unless the condition holds."""
    if not holds:
        raise CheckError(otherwise)


def everything_received(stack: Stack) -> list[tuple[str, Received]]:
    """Every request that reached a simulator, with the simulator's name."""
    return [(name, request) for name, simulator in stack.simulators.items() for request in list(simulator.received)]
