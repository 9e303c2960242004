"""A desktop's tray and its notifications, on the session bus, for a test to look at.

Prints a line of JSON for each thing that happens: `{"tray": tooltip}` whenever the icon says something else, and
`{"notification": {"title", "body"}}`. Lines of its standard input act on the tray: `activate`, or `menu LABEL`.
"""

import asyncio
import json
import sys

from dbus_fast import Message, MessageType, PropertyAccess
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_property, method, signal

ITEM = "org.kde.StatusNotifierItem"


def tell(**what) -> None:
    print(json.dumps(what), flush=True)


class Watcher(ServiceInterface):
    """Where tray icons register."""

    def __init__(self) -> None:
        super().__init__("org.kde.StatusNotifierWatcher")
        self.items = asyncio.Queue()

    @method()
    def RegisterStatusNotifierItem(self, service: "s"):  # noqa: F821
        self.items.put_nowait(service)

    @method()
    def RegisterStatusNotifierHost(self, service: "s"):  # noqa: F821
        pass

    @dbus_property(access=PropertyAccess.READ)
    def RegisteredStatusNotifierItems(self) -> "as":  # noqa: F722
        return []

    @dbus_property(access=PropertyAccess.READ)
    def IsStatusNotifierHostRegistered(self) -> "b":  # noqa: F821
        return True

    @dbus_property(access=PropertyAccess.READ)
    def ProtocolVersion(self) -> "i":  # noqa: F821
        return 0

    @signal()
    def StatusNotifierHostRegistered(self):
        pass


class Notifications(ServiceInterface):
    """Where notifications go."""

    def __init__(self) -> None:
        super().__init__("org.freedesktop.Notifications")
        self.number = 0

    @method()
    def Notify(self, app: "s", replaces: "u", icon: "s", title: "s", body: "s", actions: "as", hints: "a{sv}", timeout: "i") -> "u":  # noqa: F821,F722,E501
        self.number += 1
        tell(notification={"title": title, "body": body})
        return self.number

    @method()
    def GetCapabilities(self) -> "as":  # noqa: F722
        return ["body", "body-markup", "actions"]

    @method()
    def GetServerInformation(self) -> "ssss":  # noqa: F821
        return ["test", "test", "1", "1.2"]

    @method()
    def CloseNotification(self, number: "u"):  # noqa: F821
        pass


async def call(bus, service, path, interface, member, signature="", body=()):
    reply = await bus.call(
        Message(
            destination=service, path=path, interface=interface, member=member, signature=signature, body=list(body)
        )
    )
    if reply.message_type == MessageType.ERROR:
        raise RuntimeError(f"{member}: {reply.body}")
    return reply.body


def plain(value):
    return value.value if hasattr(value, "value") else value


async def follow(bus, service: str, state: dict) -> None:
    """Tells what one icon says, until it is gone."""
    path = "/StatusNotifierItem"
    last = None
    state["item"] = (service, path)
    while True:
        try:
            (tip,) = await call(bus, service, path, "org.freedesktop.DBus.Properties", "Get", "ss", [ITEM, "ToolTip"])
        except RuntimeError:
            return
        says = plain(tip)[3]
        if says != last:
            last = says
            tell(tray=says)
        await asyncio.sleep(0.2)


async def act(bus, line: str, state: dict) -> None:
    service, path = state["item"]
    if line == "activate":
        await call(bus, service, path, ITEM, "Activate", "ii", [0, 0])
        return
    label = line.removeprefix("menu ")
    (menu,) = await call(bus, service, path, "org.freedesktop.DBus.Properties", "Get", "ss", [ITEM, "Menu"])
    menu = plain(menu)
    _, layout = await call(bus, service, menu, "com.canonical.dbusmenu", "GetLayout", "iias", [0, -1, []])
    for child in layout[2]:
        number, properties, _ = plain(child)
        if plain(properties.get("label", "")) == label:
            from dbus_fast import Variant

            event = [number, "clicked", Variant("i", 0), 0]
            await call(bus, service, menu, "com.canonical.dbusmenu", "Event", "isvu", event)
            return
    tell(problem=f"the menu has no {label}: {layout}")


async def main() -> None:
    bus = await MessageBus().connect()
    watcher = Watcher()
    bus.export("/StatusNotifierWatcher", watcher)
    bus.export("/org/freedesktop/Notifications", Notifications())
    await bus.request_name("org.kde.StatusNotifierWatcher")
    await bus.request_name("org.freedesktop.Notifications")
    tell(ready=True)
    state = {}

    async def icons() -> None:
        tasks = set()
        while True:
            tasks.add(asyncio.create_task(follow(bus, await watcher.items.get(), state)))

    async def orders() -> None:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := (await reader.readline()).decode().strip():
            await act(bus, line, state)

    await asyncio.gather(icons(), orders())


asyncio.run(main())
