"""Every error a user or a client can meet.

Strategy: a foreign error is turned into one of these where it arrives, and above that line only
these exist. Each class says when it happens; `status` is its HTTP status, `exit_code` what the
command line leaves with.

    BridgeError                   500  1
    ├─ BadRequest                 400  1
    │  └─ BadOption               500  1
    ├─ ModelNotFound              404  1
    ├─ NotSupported               400  1
    ├─ Forbidden                  403  1
    ├─ ServerBusy                 503  1
    ├─ LimitReached               429  1
    ├─ AsksItself                 508  1
    ├─ UpstreamFailed             502  1     any status but 401
    │  └─ UpstreamBroke           502  1     after the reply had begun
    ├─ KeyMissing                 502  1
    ├─ SettingsInvalid            500  5
    ├─ KeyringUnusable            500  6
    ├─ NotRunning                 503  3
    └─ PortTaken                  500  4
"""

from typing import NamedTuple


class Refusal(NamedTuple):
    """What an upstream said when it would not answer, for whoever asks it again."""

    status: int
    text: str
    """Its whole text, also that of a vendor behind it."""
    param: str = ""
    """The field it names as the culprit."""
    code: str = ""
    generation: str = ""
    """What the model had written, where the upstream could not read a call in it."""


class BridgeError(Exception):
    """Any failure that has a sentence for the user; the message is that sentence."""

    status = 500
    exit_code = 1
    final = False
    """Whether asking again is useless, although the status is one that clients ask again for."""
    refusal: Refusal | None = None
    """The upstream's own words, where it was the upstream that failed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(BridgeError):
    """The client's request cannot be read as Ollama would read it."""

    status = 400


class BadOption(BadRequest):
    """An option or format has a wrong type; Ollama answers 500 to these, not 400."""

    status = 500


class ModelNotFound(BridgeError):
    """No provider, alias or list knows the model's name."""

    status = 404


class NotSupported(BridgeError):
    """The model or the bridge cannot do what was asked, and says so."""

    status = 400
    capability = ""
    """What the model turned out not to have, in Ollama's word."""


class Forbidden(BridgeError):
    """The caller's Host, Origin or token is not allowed here."""

    status = 403


class ServerBusy(BridgeError):
    """More requests are waiting than the bridge will hold."""

    status = 503


class LimitReached(BridgeError):
    """The user's own limit for what may be spent at a provider in a day; nothing was sent."""

    status = 429
    final = True

    def __init__(self, message: str, *, retry_after: str = "") -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds until the day ends, as the header tells them."""


class AsksItself(BridgeError):
    """A provider's address leads back to this very daemon."""

    status = 508


class UpstreamFailed(BridgeError):
    """The provider refused or could not be reached; nothing was sent to the client yet."""

    status = 502

    def __init__(
        self,
        message: str,
        *,
        status: int = 502,
        upstream_status: int | None = None,
        detail: str = "",
        retry_after: str = "",
        wait: float | None = None,
        said: bytes = b"",
        passing: bool = True,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.upstream_status = upstream_status
        self.detail = detail
        self.retry_after = retry_after
        """The header as it came, for the client."""
        self.wait = wait
        """The same in seconds."""
        self.said = said
        """What a client of Ollama's own routes gets to read, where it is not just the message."""
        self.passing = passing
        """Whether it may be gone a moment later; False where the same would come again."""


class UpstreamBroke(UpstreamFailed):
    """The provider's reply ended or turned bad after it had begun."""


class KeyMissing(BridgeError):
    """A provider needs an API key and none was found."""

    status = 502


class SettingsInvalid(BridgeError):
    """The settings file cannot be used; the message names file, key, found and allowed."""

    exit_code = 5


class KeyringUnusable(BridgeError):
    """The operating system's keyring is locked, absent or did not answer in time."""

    exit_code = 6


class NotRunning(BridgeError):
    """No daemon of ours answers."""

    status = 503
    exit_code = 3


class PortTaken(BridgeError):
    """Another program listens on the port we were told to use."""

    exit_code = 4
