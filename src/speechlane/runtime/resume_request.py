"""What a client shows to resume its session, and what it is told where that does not do."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from speechlane.errors import InvalidInput, NotFound
from speechlane.live.config import SessionHead


@dataclass(frozen=True, slots=True)
class ResumeRequest:
    """A checked ``session.resume``."""

    session: str
    resume_token: str
    after_seq: int

    def fits(self, head: SessionHead, tenant: str) -> bool:
        """Whether it is the tenant's session, and its token."""
        token = head.resume_token
        return (
            token is not None
            and head.tenant == tenant
            and secrets.compare_digest(token.encode(), self.resume_token.encode())
        )

    def check_sent(self, last_seq: int) -> None:
        """Nothing, where ``after_seq`` is a message of the session.

        Raises:
            InvalidInput: ``invalid_field``: it was never sent.
        """
        if self.after_seq > last_seq:
            raise InvalidInput(
                "invalid_field",
                f"session.resume: after_seq is {self.after_seq}; the last message of the session is {last_seq}. Send"
                " the seq of the last message that came.",
                field="after_seq",
                limit=last_seq,
            )

    @staticmethod
    def unknown() -> NotFound:
        """The one answer to a wrong id and a wrong token, so that nobody learns which sessions there are."""
        return NotFound(
            "unknown_session",
            "There is no such session to resume, its time is over, or the token is another's. Send session.start.",
            field="session",
        )
