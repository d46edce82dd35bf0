"""The functions of ``libbass_webrtc`` that are implemented in Python, thin over ``Server`` and the clients.

The library calls ``check_library`` and ``bind`` once, when it starts.
"""

from __future__ import annotations

import atexit
import functools
import gc
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from yarl import URL

from .. import __version__
from ..bass import kept_error_code, open_source
from ..client.clients import WhepClient
from ..config import CHANNELS, SAMPLE_BYTES, IceServer, ServerConfig, usable_ice_servers
from ..core import statistics_functions
from ..host_process import leave_real_time_signals_open
from ..limited_log import LEVELS, log_to_standard_error
from ..server.call import HUNG_UP
from ..server.server import Server
from ..sources import PcmSource
from . import errors
from .client_handles import ClientOptions, WhepHandle, WhipHandle, is_connected
from .errors import CapiError
from .handles import Handle, HandleTable
from .server_handle import SOURCE_NONE, SOURCE_PCM, ServerHandle, open_c_source
from .structures import (
    CALL_STATES,
    ENHANCEMENTS,
    KINDS,
    Callbacks,
    CallsCallbacks,
    config_fields,
    fill,
    fill_call,
)

ALL_PEERS = 0xFFFFFFFF
_MAX_READ_FRAMES = 48_000
_CLIENT_PEER = 0
_NO_CALLS = 0
_INITIAL_CALL_STATES = (1, 2)
_INVITE_EXPIRES_S = 86_400
_WITHOUT_BASS = ("push_pcm", "read_pcm")
"""Methods that are called often and never call BASS, so its error code need not be kept."""

_bound: Library | None = None


def check_library(version: str) -> None:
    """Check that a library may be bound to this package.

    Args:
        version: The version of this package when the library was built.

    Raises:
        CapiError: The versions differ, or another copy of the library is bound already.
    """
    if version != __version__:
        raise CapiError(
            errors.VERSION,
            f"the library was built by bass-webrtc {version}, but this environment has {__version__}. "
            "Build it again: bass-webrtc capi build",
        )
    if _bound is not None:
        raise CapiError(errors.ALREADY, "this process has already loaded another copy of libbass_webrtc: use that one")


def bind(ffi: Any, lib: Any, failures: Mapping[str, int]) -> None:
    """Make C functions of the methods of a ``Library``.

    Args:
        ffi: The library's cffi interface.
        lib: The library's C functions.
        failures: The value that each method's C function returns on failure, by the method's name. The library was
            generated with this table (``dispatch.failures``), so every one of its functions gets its method here.
    """
    global _bound
    library = Library(ffi, lib)
    if (level := os.environ.get("BASS_WEBRTC_LOG_LEVEL")) in LEVELS:
        log_to_standard_error(level)
    leave_real_time_signals_open()
    lib.bw_use_core(*statistics_functions())
    for name, failure in failures.items():
        ffi.def_extern(f"bw_py_{name}")(_with_error(lib, getattr(library, name), failure))
    ffi.def_extern("bw_py_close_all")(_with_error(lib, library.close_all, None))
    atexit.register(library.close_all)
    _bound = library


def _with_error(lib: Any, method: Callable[..., Any], failure: int | None) -> Callable[..., Any]:
    """A function that turns an exception into this thread's error. Without a result it returns 1, TRUE in C."""

    @functools.wraps(method)
    def call(*arguments: Any) -> Any:
        try:
            if method.__name__ in _WITHOUT_BASS:
                return method(*arguments)
            with kept_error_code():
                result = method(*arguments)
        except Exception as error:
            lib.bw_set_error(errors.code_of(error), errors.message_of(error).encode())
            return failure
        return result if result is not None or failure is None else 1

    return call


class Library:
    """The exported functions, named by ``header.Function.handler``. Any thread.

    Every public method but ``close_all`` implements one function of ``bass_webrtc.h`` and has its parameters; a handle
    is an int. What it raises becomes the error of the calling thread.
    """

    def __init__(self, ffi: Any, lib: Any) -> None:
        self._ffi = ffi
        self._lib = lib
        self._handles = HandleTable()

    # -- server

    def create(self, source_channel: int, config: Any) -> int:
        """BASS_WEBRTC_Create."""
        given = config_fields(config) if config else config_fields(self._ffi.new("WebRtcConfigFFI *"), http_port=8080)
        source = open_c_source(source_channel, given.pop("sample_rate"), given.pop("channels"))
        settings = ServerConfig(udp_port=0, **given)
        number = self._handles.next_number()

        def attach(server: Server) -> None:
            self._lib.bw_server_attach(number, server.engine_address, settings.max_peers)

        handle = ServerHandle(source, settings, attach, lambda: self._lib.bw_server_detach(number))
        if not self._lib.bw_server_open(number):
            raise MemoryError
        self._handles.add(number, handle)
        return number

    def set_address(self, handle: int, http_host: Any, udp_port: int, public_ips: Any) -> None:
        """BASS_WEBRTC_SetAddress."""
        self._server(handle).change(
            http_host=self._text_or_none(http_host) or ServerConfig().http_host,
            udp_port=udp_port,
            public_ips=self._list(public_ips),
        )

    def set_allowed_hosts(self, handle: int, names: Any) -> None:
        """BASS_WEBRTC_SetAllowedHosts."""
        self._server(handle).change(allowed_hosts=self._list(names))

    def set_allowed_origins(self, handle: int, origins: Any) -> None:
        """BASS_WEBRTC_SetAllowedOrigins."""
        self._server(handle).change(allow_origins=self._list(origins))

    def set_trusted_proxies(self, handle: int, networks: Any) -> None:
        """BASS_WEBRTC_SetTrustedProxies."""
        self._server(handle).change(trusted_proxies=self._list(networks))

    def set_public_url(self, handle: int, url: Any) -> None:
        """BASS_WEBRTC_SetPublicUrl."""
        self._server(handle).change(public_url=self._text_or_none(url) or None)

    def set_max_peers_per_address(self, handle: int, peers: int) -> None:
        """BASS_WEBRTC_SetMaxPeersPerAddress."""
        self._server(handle).change(max_peers_per_address=peers or None)

    def set_receive_enhancement(self, handle: int, mode: int) -> None:
        """BASS_WEBRTC_SetReceiveEnhancement."""
        found = self._handles.get(handle, ServerHandle, WhepHandle)
        if mode not in ENHANCEMENTS:
            raise CapiError(errors.ILLPARAM, f"mode is {mode}; expected one of {[*ENHANCEMENTS]}")
        if isinstance(found, ServerHandle):
            found.change(receive_enhancement=ENHANCEMENTS[mode])
        else:
            found.set_receive_enhancement(ENHANCEMENTS[mode])

    def set_token(self, handle: int, token: Any) -> None:
        """BASS_WEBRTC_SetToken."""
        found = self._handles.get(handle, ServerHandle, WhipHandle, WhepHandle)
        text = self._text_or_none(token)
        if isinstance(found, ServerHandle):
            found.change(token=text)
        else:
            found.set_token(text)

    def add_ice_server(self, handle: int, url: Any, username: Any, credential: Any) -> None:
        """BASS_WEBRTC_AddIceServer."""
        found = self._handles.get(handle, ServerHandle, WhipHandle, WhepHandle)
        # Some languages pass an empty string for NULL, which is right for a STUN server.
        user, secret = (self._text_or_none(text) or None for text in (username, credential))
        servers = IceServer.read_all({"urls": self._text(url, "url"), "username": user, "credential": secret})
        usable_ice_servers(servers)
        found.add_ice_servers(servers)

    def set_callbacks(self, handle: int, callbacks: Any) -> None:
        """BASS_WEBRTC_SetCallbacks."""
        copy = self._ffi.new("SignalingCallbacks *", callbacks[0]) if callbacks else None
        self._server(handle).listener = Callbacks(self._ffi, self._lib, copy) if copy else None

    def set_bitrate(self, handle: int, opus_bitrate: int) -> None:
        """BASS_WEBRTC_SetBitrate."""
        self._server(handle).set_bitrate(opus_bitrate)

    def start(self, handle: int) -> None:
        """BASS_WEBRTC_Start."""
        self._server(handle).start()

    def stop(self, handle: int) -> None:
        """BASS_WEBRTC_Stop."""
        self._server(handle).stop()

    def free(self, handle: int) -> None:
        """BASS_WEBRTC_Free."""
        server = self._handles.take(handle, ServerHandle)
        self._lib.bw_server_detach(handle)
        self._lib.bw_server_close(handle)
        _close(server)

    def get_port(self, handle: int) -> int:
        """BASS_WEBRTC_GetPort."""
        server = self._server(handle).server
        if not server.url:
            raise CapiError(
                errors.NOTAVAIL, "the server has no HTTP port: its signaling mode is BASS_WEBRTC_SIGNALING_CALLBACK"
            )
        return URL(server.url).port or 0

    def get_input_stream(self, handle: int) -> int:
        """BASS_WEBRTC_GetInputStream."""
        return _stream(self._server(handle).server.input_stream)

    def get_source_end(self, handle: int, error: Any, ends: Any) -> int:
        """BASS_WEBRTC_GetSourceEnd."""
        state = self._handles.get(handle, ServerHandle, WhipHandle).source_state()
        if error:
            error[0] = state.error & 0xFFFFFFFF
        if ends:
            ends[0] = state.ends & 0xFFFFFFFF
        return state.has_ended

    # -- channels

    def add_channel(self, handle: int, name: Any, source_channel: int) -> None:
        """BASS_WEBRTC_AddChannel."""
        server = self._server(handle)
        server.add_channel(self._text(name, "name"), _bass_channel(source_channel))

    def set_channel_source(self, handle: int, name: Any, source_channel: int, fade_ms: int) -> None:
        """BASS_WEBRTC_SetChannelSource."""
        server = self._server(handle)
        server.set_channel_source(self._text(name, "name"), _bass_channel(source_channel), fade_ms)

    def remove_channel(self, handle: int, name: Any) -> None:
        """BASS_WEBRTC_RemoveChannel."""
        self._server(handle).remove_channel(self._text(name, "name"))

    def get_listener_count(self, handle: int, name: Any) -> int:
        """BASS_WEBRTC_GetListenerCount."""
        return self._server(handle).listeners(self._text(name, "name"))

    # -- peers

    def get_peer_stream(self, handle: int, peer_id: int) -> int:
        """BASS_WEBRTC_GetPeerStream."""
        peer = self._server(handle).peer(peer_id)
        if not peer.is_receiving:
            raise CapiError(errors.NOTAVAIL, f"peer {peer_id} sends no audio, or not yet")
        return _stream(peer.input_stream)

    def get_peer_stats(self, handle: int, peer_id: int, stats: Any) -> None:
        """BASS_WEBRTC_GetPeerStats."""
        self._need(stats, "stats")
        found = self._handles.get(handle, ServerHandle, WhipHandle, WhepHandle)
        if isinstance(found, ServerHandle):
            fill(stats, found.peer(peer_id).stats())
        elif peer_id == _CLIENT_PEER:
            fill(stats, found.client.stats())
        else:
            raise CapiError(errors.NOTAVAIL, f"peer_id is {peer_id}; expected 0, the only peer of a client")

    # -- callback signaling

    def add_peer_ex(self, handle: int, offer_sdp: Any, answer_sdp: Any, capacity: int, answer_len: Any) -> int:
        """BASS_WEBRTC_AddPeerEx, and BASS_WEBRTC_AddPeer."""
        server = self._server(handle)
        offer = self._text(offer_sdp, "offer_sdp")
        buffer = _TextBuffer(self._ffi, answer_sdp, capacity, answer_len, "answer_sdp")
        return buffer.take_description(server, *server.add_peer(offer))

    def create_offer(self, handle: int, kind: int, offer_sdp: Any, capacity: int, offer_len: Any) -> int:
        """BASS_WEBRTC_CreateOffer."""
        server = self._server(handle)
        if kind >= len(KINDS):
            raise CapiError(errors.ILLPARAM, f"kind is {kind}; expected BASS_WEBRTC_PEER_*, 0 to {len(KINDS) - 1}")
        buffer = _TextBuffer(self._ffi, offer_sdp, capacity, offer_len, "offer_sdp")
        return buffer.take_description(server, *server.create_offer(KINDS[kind]))

    def set_answer(self, handle: int, peer_id: int, answer_sdp: Any) -> None:
        """BASS_WEBRTC_SetAnswer."""
        self._server(handle).set_answer(peer_id, self._text(answer_sdp, "answer_sdp"))

    def add_ice_candidate(self, handle: int, peer_id: int, candidate: Any) -> None:
        """BASS_WEBRTC_AddIceCandidate."""
        self._server(handle).add_ice_candidate(peer_id, self._text(candidate, "candidate"))

    def remove_peer(self, handle: int, peer_id: int) -> None:
        """BASS_WEBRTC_RemovePeer."""
        self._server(handle).remove_peer(peer_id)

    # -- calls

    def set_calls(self, handle: int, state: int, max_calls: int, requires_invite: int) -> None:
        """BASS_WEBRTC_SetCalls."""
        server = self._server(handle)
        if state not in (_NO_CALLS, *_INITIAL_CALL_STATES):
            raise CapiError(
                errors.ILLPARAM, f"state is {state}; expected BASS_WEBRTC_CALL_STATE_NONE, _WAITING or _ON_AIR, 0 to 2"
            )
        if state == _NO_CALLS:
            server.set_calls(None, ServerConfig().max_calls, False)
        else:
            server.set_calls(CALL_STATES[state], max_calls or ServerConfig().max_calls, bool(requires_invite))

    def set_desk_token(self, handle: int, token: Any) -> None:
        """BASS_WEBRTC_SetDeskToken."""
        self._server(handle).set_desk_token(self._text_or_none(token))

    def set_recordings(self, handle: int, calls_folder: Any, programme_file: Any, rotate_seconds: int) -> None:
        """BASS_WEBRTC_SetRecordings."""
        folder, file = self._text_or_none(calls_folder), self._text_or_none(programme_file)
        self._server(handle).set_recordings(folder, file, rotate_seconds)

    def set_call_callbacks(self, handle: int, callbacks: Any) -> None:
        """BASS_WEBRTC_SetCallCallbacks."""
        copy = self._ffi.new("CallCallbacks *", callbacks[0]) if callbacks else None
        self._server(handle).call_listener = CallsCallbacks(self._ffi, self._lib, copy) if copy else None

    def set_talkback_source(self, handle: int, source_channel: int) -> None:
        """BASS_WEBRTC_SetTalkbackSource."""
        server = self._server(handle)
        server.set_talkback(None if source_channel == SOURCE_NONE else _bass_channel(source_channel))

    def set_hold_source(self, handle: int, source_channel: int) -> None:
        """BASS_WEBRTC_SetHoldSource."""
        server = self._server(handle)
        server.set_hold(None if source_channel == SOURCE_NONE else _bass_channel(source_channel))

    def create_invite(
        self,
        handle: int,
        name: Any,
        max_uses: int,
        expires_s: int,
        url: Any,
        capacity: int,
        url_len: Any,
        invite_id: Any,
    ) -> None:
        """BASS_WEBRTC_CreateInvite."""
        server = self._server(handle)
        self._need(url, "url")
        link = _TextBuffer(self._ffi, url, capacity, url_len, "url")
        invite = server.create_invite(self._text_or_none(name) or "", max_uses or 1, expires_s or _INVITE_EXPIRES_S)
        if not link.write(invite.url):
            with suppress(CapiError):  # The server was stopped meanwhile.
                server.revoke_invite(invite.id)
            raise link.too_small("BASS_WEBRTC_CreateInvite")
        if invite_id:
            self._ffi.memmove(invite_id, invite.id.encode() + b"\0", len(invite.id) + 1)

    def revoke_invite(self, handle: int, invite_id: Any) -> None:
        """BASS_WEBRTC_RevokeInvite."""
        self._server(handle).revoke_invite(self._text(invite_id, "invite_id"))

    def get_next_call(self, handle: int, call_id: int) -> int:
        """BASS_WEBRTC_GetNextCall."""
        return self._server(handle).next_call(call_id)

    def get_call_stats(self, handle: int, call_id: int, stats: Any) -> None:
        """BASS_WEBRTC_GetCallStats."""
        self._need(stats, "stats")
        fill_call(stats, self._server(handle).call(call_id).stats())

    def set_call_state(self, handle: int, call_id: int, state: int) -> None:
        """BASS_WEBRTC_SetCallState."""
        server = self._server(handle)
        if CALL_STATES.get(state, "ended") == "ended":
            raise CapiError(
                errors.ILLPARAM,
                f"state is {state}; expected BASS_WEBRTC_CALL_STATE_WAITING, _ON_AIR or _PRIVATE, 1 to 3. "
                "BASS_WEBRTC_HangUpCall ends a call",
            )
        server.change_call(call_id, state=CALL_STATES[state])

    def set_call_gain(self, handle: int, call_id: int, gain: float) -> None:
        """BASS_WEBRTC_SetCallGain."""
        self._server(handle).change_call(call_id, gain=gain)

    def set_call_return_gain(self, handle: int, call_id: int, gain: float) -> None:
        """BASS_WEBRTC_SetCallReturnGain."""
        self._server(handle).change_call(call_id, return_gain=gain)

    def set_call_muted(self, handle: int, call_id: int, muted: int) -> None:
        """BASS_WEBRTC_SetCallMuted."""
        self._server(handle).change_call(call_id, muted=bool(muted))

    def set_call_talkback(self, handle: int, call_id: int, talkback: int) -> None:
        """BASS_WEBRTC_SetCallTalkback."""
        self._server(handle).change_call(call_id, talkback=bool(talkback))

    def set_call_name(self, handle: int, call_id: int, name: Any) -> None:
        """BASS_WEBRTC_SetCallName."""
        self._server(handle).change_call(call_id, name=self._text(name, "name"))

    def hang_up_call(self, handle: int, call_id: int, reason: Any) -> None:
        """BASS_WEBRTC_HangUpCall."""
        server = self._server(handle)
        server.open_call(call_id).hang_up(self._text_or_none(reason) or HUNG_UP)

    def get_call_stream(self, handle: int, call_id: int) -> int:
        """BASS_WEBRTC_GetCallStream."""
        return _stream(self._server(handle).open_call(call_id).input_stream)

    # -- audio without BASS

    def push_pcm(self, handle: int, samples: Any, frames: int) -> int:
        """BASS_WEBRTC_PushPcm."""
        source = self._handles.get(handle, ServerHandle, WhipHandle).source
        if not isinstance(source, PcmSource):
            raise CapiError(errors.NOTAVAIL, "the source is not BASS_WEBRTC_SOURCE_PCM, so it takes no pushed audio")
        return source._write_buffer(self._samples(samples, frames, source.channels)) if frames else 0

    def read_pcm(self, handle: int, peer_id: int, samples: Any, frames: int) -> int:
        """BASS_WEBRTC_ReadPcm."""
        if frames > _MAX_READ_FRAMES:
            raise CapiError(errors.ILLPARAM, f"frames is {frames}; expected up to {_MAX_READ_FRAMES}")
        found = self._handles.get(handle, ServerHandle, WhepHandle)
        if isinstance(found, WhepHandle):
            read_into = found.client._read_into
        elif peer_id == ALL_PEERS:
            read_into = found.server._read_input_into
        else:
            read_into = found.peer(peer_id).read_any_into  # Also of a caller, which has no function of its own.
        if frames:
            read_into(self._samples(samples, frames, CHANNELS))
        return frames

    # -- clients

    def connect_whip(
        self, source_channel: int, whip_url: Any, sample_rate: int, channels: int, opus_bitrate: int
    ) -> int:
        """BASS_WEBRTC_ConnectWhip."""
        defaults = ServerConfig()
        url = self._text(whip_url, "whip_url")
        source = open_c_source(source_channel, sample_rate or defaults.sample_rate, channels or defaults.channels)
        return self._add(WhipHandle(source, url, opus_bitrate or defaults.bitrate_kbps))

    def whip_start(self, handle: int) -> None:
        """BASS_WEBRTC_WhipStart."""
        self._handles.get(handle, WhipHandle).client.start()

    def whip_stop(self, handle: int) -> None:
        """BASS_WEBRTC_WhipStop."""
        self._handles.get(handle, WhipHandle).client.stop()

    def whip_is_connected(self, handle: int) -> int:
        """BASS_WEBRTC_WhipIsConnected."""
        return is_connected(self._handles.get(handle, WhipHandle).client)

    def whip_free(self, handle: int) -> None:
        """BASS_WEBRTC_WhipFree."""
        _close(self._handles.take(handle, WhipHandle))

    def connect_whep(self, whep_url: Any, _sample_rate: int, _channels: int, buffer_ms: int, decode_stream: int) -> int:
        """BASS_WEBRTC_ConnectWhep."""
        url = self._text(whep_url, "whep_url")
        buffer_ms = buffer_ms or ServerConfig().buffer_ms

        def make(options: ClientOptions) -> WhepClient:
            return WhepClient(
                url,
                options.token,
                buffer_ms,
                bool(decode_stream),
                options.ice_servers,
                receive_enhancement=options.receive_enhancement,
                trusted_origins=options.trusted_origins,
                forbid_private=options.forbid_private,
            )

        return self._add(WhepHandle(make))

    def whep_get_stream(self, handle: int) -> int:
        """BASS_WEBRTC_WhepGetStream."""
        return _stream(self._handles.get(handle, WhepHandle).client.stream)

    def whep_is_connected(self, handle: int) -> int:
        """BASS_WEBRTC_WhepIsConnected."""
        return is_connected(self._handles.get(handle, WhepHandle).client)

    def whep_free(self, handle: int) -> None:
        """BASS_WEBRTC_WhepFree."""
        _close(self._handles.take(handle, WhepHandle))

    def set_allow_private(self, handle: int, allow: int) -> None:
        """BASS_WEBRTC_SetAllowPrivate."""
        self._handles.get(handle, WhipHandle, WhepHandle).set_allow_private(bool(allow))

    def set_trusted_origins(self, handle: int, origins: Any) -> None:
        """BASS_WEBRTC_SetTrustedOrigins."""
        self._handles.get(handle, WhipHandle, WhepHandle).set_trusted_origins(self._list(origins))

    def close_all(self) -> None:
        """Close everything that the host left open. Called when the process, or its Python, exits."""
        for handle in self._handles.take_all():
            handle.close()

    # -- arguments

    def _server(self, number: int) -> ServerHandle:
        return self._handles.get(number, ServerHandle)

    def _add(self, handle: WhipHandle | WhepHandle) -> int:
        number = self._handles.next_number()
        self._handles.add(number, handle)
        return number

    def _need(self, pointer: Any, name: str) -> None:
        if not pointer:
            raise CapiError(errors.ILLPARAM, f"{name} is NULL; expected a pointer")

    def _text(self, pointer: Any, name: str) -> str:
        self._need(pointer, name)
        try:
            return str(self._ffi.string(pointer).decode())
        except UnicodeDecodeError:
            raise CapiError(errors.ILLPARAM, f"{name} is not valid UTF-8") from None

    def _text_or_none(self, pointer: Any) -> str | None:
        return self._text(pointer, "a string") if pointer else None

    def _list(self, pointer: Any) -> tuple[str, ...]:
        """The items of a text that separates them by commas."""
        items = (item.strip() for item in (self._text_or_none(pointer) or "").split(","))
        return tuple(filter(None, items))

    def _samples(self, pointer: Any, frames: int, channels: int) -> Any:
        """The caller's memory as a buffer of float32 [frames, channels]; not copied."""
        self._need(pointer, "samples")
        return self._ffi.buffer(pointer, frames * channels * SAMPLE_BYTES)


class _TextBuffer:
    """A buffer of the program for a text, which may turn out to be too small once the text is made."""

    def __init__(self, ffi: Any, text: Any, capacity: int, length: Any, name: str) -> None:
        if capacity and not text:
            raise CapiError(errors.ILLPARAM, f"{name} is NULL; expected a buffer, or NULL with a capacity of 0")
        self._ffi = ffi
        self._text = text
        self._capacity = capacity
        self._length = length
        self._name = name
        self._needed = 0

    def take_description(self, server: ServerHandle, peer_id: int, description: str) -> int:
        """Write the description of a peer and return the peer's number. Without room for it, the peer is removed."""
        if not self.write(description) and self._capacity:  # Without a buffer: the callback on_sdp gets it.
            with suppress(CapiError):  # It has left already.
                server.remove_peer(peer_id)
            raise self.too_small("BASS_WEBRTC_AddPeerEx or BASS_WEBRTC_CreateOffer")
        return peer_id

    def write(self, text: str) -> bool:
        """Write a text and its length; return whether there was room for the text."""
        data = text.encode()
        self._needed = len(data) + 1
        if self._length:
            self._length[0] = len(data)
        if self._needed > self._capacity:
            return False
        self._ffi.memmove(self._text, data + b"\0", self._needed)
        return True

    def too_small(self, functions: str) -> CapiError:
        """The error of a text for which there was no room."""
        return CapiError(
            errors.BUFFER,
            f"{self._name} has {self._capacity} bytes; expected at least {self._needed}: pass a larger buffer to "
            f"{functions}",
        )


def _bass_channel(source_channel: int) -> int:
    """Check the source of a channel. BASS returns 0 where it could not make one."""
    if source_channel in (SOURCE_NONE, SOURCE_PCM):
        raise CapiError(
            errors.ILLPARAM,
            f"source_channel is {source_channel:#x}; expected a BASS channel, for pushed audio a push stream of BASS",
        )
    open_source(source_channel)
    return source_channel


def _close(handle: Handle) -> None:
    """Close a handle and collect garbage: a C program expects Free to return memory, and connections are cycles."""
    handle.close()
    gc.collect()


def _stream(handle: int) -> int:
    if handle == 0:
        raise CapiError(
            errors.NOTAVAIL, "there is no BASS stream because BASS is not initialised: call BASS_Init first"
        )
    return handle
