"""The WebSocket door of the live lane, ``/v1/live``: frames to the driver, the driver's messages to the client."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace

from fastapi import APIRouter
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from speechlane.audio.format import ContainerFormat
from speechlane.errors import (
    InvalidAudio,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    OverCapacity,
    SpeechlaneError,
    StorageFailed,
)
from speechlane.live import messages
from speechlane.runtime.live_driver import LiveDriver
from speechlane.runtime.live_hub import LiveHub, StartRequest
from speechlane.runtime.live_outgoing import Outgoing
from speechlane.runtime.resume_request import ResumeRequest
from speechlane.server.auth import Authenticator
from speechlane.server.live_head import read_channels
from speechlane.server.live_schema import Finish, Flush, Ping, read_control, read_start
from speechlane.server.queries import query_of

_LOGGER = logging.getLogger(__name__)

SUBPROTOCOL = "speechlane.v1"
START_TIMEOUT_S = 15


def live_router(hub: LiveHub, authenticator: Authenticator) -> APIRouter:
    """The live lane's door, to be mounted beside the others."""
    router = APIRouter()
    router.add_api_websocket_route("/v1/live", LiveDoor(hub, authenticator).connect)
    return router


class LiveDoor:
    """Handles one connection after another; holds no session itself."""

    def __init__(self, hub: LiveHub, authenticator: Authenticator) -> None:
        self._hub, self._authenticator = hub, authenticator

    async def connect(self, socket: WebSocket) -> None:
        """One connection from handshake to close."""
        asked = "a session"
        offered = socket.scope.get("subprotocols", [])
        await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        try:
            tenant = self._authenticator.websocket_tenant(socket)
            query_of(socket)
            async with asyncio.timeout(START_TIMEOUT_S):
                frame = await socket.receive()
            if frame["type"] == "websocket.disconnect":
                return
            ask = read_start(frame.get("text"))
            if isinstance(ask, ResumeRequest):
                asked = f"to resume {ask.session[:64]!r}"
                driver, outgoing = await self._hub.resume(tenant, ask)
                first: list[bytes] = []
            else:
                ask, first = await _with_timelines(socket, ask)
                driver = self._hub.open(tenant, ask)
                outgoing = driver.outgoing
        except WebSocketDisconnect:
            return
        except TimeoutError:
            late = InvalidInput(
                "start_timeout",
                f"No session.start or session.resume came within {START_TIMEOUT_S} s. Send it first.",
                limit=START_TIMEOUT_S,
            )
            await _refuse(socket, asked, late, 4408)
        except SpeechlaneError as problem:
            await _refuse(socket, asked, problem, _close_code(problem))
        except Exception:
            _LOGGER.exception("a session could not be opened")
            fault = SpeechlaneError("server_fault", "The server failed to open the session. Try again.", retryable=True)
            await _refuse(socket, asked, fault, 1011)
        else:
            with self._hub.connected():
                await _serve(socket, driver, outgoing, first)


async def _with_timelines(socket: WebSocket, start: StartRequest) -> tuple[StartRequest, list[bytes]]:
    """A container's channels are known from its header alone; the audio read to see it comes back."""
    if start.config.diarize != "channel" or not isinstance(start.audio, ContainerFormat):
        return start, []
    channels, first = await read_channels(socket, start.audio, START_TIMEOUT_S)
    return replace(start, config=replace(start.config, timelines=channels)), first


async def _serve(socket: WebSocket, driver: LiveDriver, outgoing: Outgoing, first: list[bytes]) -> None:
    reader = asyncio.create_task(_read(socket, driver, outgoing, first))
    try:
        async for text in outgoing:
            await socket.send_text(text)
        await socket.close(outgoing.close_code or 1011, outgoing.close_reason)
    except SpeechlaneError as problem:  # what is to be told again cannot be read; the session itself goes on
        problem.retryable = driver.resumable
        await _refuse(socket, f"to go on with {driver.session.head.session}", problem, _close_code(problem))
    except (WebSocketDisconnect, RuntimeError, OSError):
        pass  # the connection is gone
    finally:
        driver.lose(outgoing)
        reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reader


async def _read(socket: WebSocket, driver: LiveDriver, outgoing: Outgoing, first: list[bytes]) -> None:
    """Feed the driver until the client is gone; behind its last word nothing more of it is taken.

    ``first``: audio that was read already.
    """
    for data in first:
        await driver.audio(data, outgoing)
    listening = True
    while True:
        frame = await socket.receive()
        if frame["type"] == "websocket.disconnect":
            driver.lose(outgoing)
            return
        if listening:
            listening = await _take(frame, driver, outgoing)


async def _take(frame: Message, driver: LiveDriver, outgoing: Outgoing) -> bool:
    """Hand a frame to the driver; False when it was the client's last word, or broke the protocol."""
    data = frame.get("bytes")
    if data is not None:
        await driver.audio(data, outgoing)
        return True
    try:
        control = read_control(frame["text"])
    except InvalidInput as problem:
        driver.break_protocol(problem, outgoing)
        return False
    match control:
        case Flush():
            await driver.flush(control.id, outgoing)
        case Ping():
            await driver.ping(control.id, outgoing)
        case Finish():
            driver.finish(outgoing)
            return False
    return True


async def _refuse(socket: WebSocket, asked: str, problem: SpeechlaneError, code: int) -> None:
    """Tell the client; ``asked`` says in the log what it wanted."""
    _LOGGER.info("refused %s: %d, %s", asked, code, problem.code)
    with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
        await socket.send_text(messages.encode(messages.error(problem)))
        await socket.close(code, problem.code)


def _close_code(problem: SpeechlaneError) -> int:
    match problem:
        case NotAuthenticated():
            return 4401
        case NotFound():
            return 4404
        case OverCapacity() | StorageFailed(code="disk_full"):
            return 4429
        case InvalidAudio():
            return 1008
        case InvalidInput():
            return 4400
        case _:
            _LOGGER.error("a connection could not be served: %s", problem)
            return 1011
