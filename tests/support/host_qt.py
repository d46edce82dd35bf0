"""A Qt program: a server's events reach its loop by a signal; prints ``passed`` at its end."""

from __future__ import annotations

import sys

from PyQt5.QtCore import QCoreApplication, QObject, QTimer, pyqtSignal

import bass_webrtc as bw


class Bridge(QObject):
    """Carries events from the event thread to Qt's."""

    changed = pyqtSignal(str)


def main() -> None:
    """Follow the state of a player, and quit when it has connected and left. What is open then, the exit closes."""
    application = QCoreApplication(sys.argv)
    bridge, seen = Bridge(), list[str]()
    server = bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0))
    server.start()
    player = bw.WhepClient(f"{server.url}whep")

    def show(state: str) -> None:
        seen.append(state)
        if state == "connected":
            player.stop()
        elif state == "closed":
            application.quit()

    bridge.changed.connect(show)
    server.on("peer_state", lambda _, state: bridge.changed.emit(state))
    QTimer.singleShot(0, player.start)
    QTimer.singleShot(30_000, application.quit)
    application.exec_()
    assert seen[-2:] == ["connected", "closed"], seen
    sys.stdout.write("passed\n")


if __name__ == "__main__":
    main()
