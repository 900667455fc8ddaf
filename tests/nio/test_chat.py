"""An encrypted chat between two friends on matrix-nio (bots and small clients are made of it).

Which server, the environment says: KITH_TEST_URL, and KITH_TEST_REGISTRATION_TOKEN or else KITH_TEST_SECRET.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import os
import secrets
import tempfile
import unittest
import urllib.error
import urllib.request

from nio import (
    AsyncClient,
    AsyncClientConfig,
    InviteMemberEvent,
    JoinResponse,
    LoginResponse,
    RoomCreateResponse,
    RoomMemberEvent,
    RoomMessageText,
    RoomSendResponse,
)

URL = os.environ["KITH_TEST_URL"]

# unittest turns on asyncio's debugging, which reports every pause.
logging.getLogger("asyncio").setLevel(logging.ERROR)

# How long the story waits for what must happen: far more than it takes, so that a loaded machine fails nothing.
PATIENCE_S = 60


def post(path, body):
    """POSTs JSON; gives the status and the answer, whether it went well or not."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def register(name):
    """Registers `name`, made unique; gives the user id and the password."""
    username = f"{name}-{secrets.token_hex(6)}"
    password = secrets.token_hex(12)
    if token := os.environ.get("KITH_TEST_REGISTRATION_TOKEN"):
        path = "/_matrix/client/v3/register"
        body = {"username": username, "password": password, "inhibit_login": True}
        status, asked = post(path, body)
        assert status == 401, f"registered without a token: {asked}"
        auth = {"type": "m.login.registration_token", "token": token, "session": asked["session"]}
        status, answer = post(path, body | {"auth": auth})
    else:
        path = "/_synapse/admin/v1/register"
        with urllib.request.urlopen(URL + path) as response:
            nonce = json.load(response)["nonce"]
        said = "\0".join([nonce, username, password, "notadmin"]).encode()
        mac = hmac.new(os.environ["KITH_TEST_SECRET"].encode(), said, hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": username, "password": password, "admin": False, "mac": mac}
        status, answer = post(path, body)
    assert status == 200, answer
    return answer["user_id"], password


class Device:
    """A signed-in client that follows the server; what it sees can be waited for."""

    def __init__(self, client):
        self.client = client
        self.seen = []
        self.news = asyncio.Condition()
        client.add_event_callback(self.see, (InviteMemberEvent, RoomMemberEvent, RoomMessageText))
        self.following = asyncio.create_task(client.sync_forever(timeout=30_000, full_state=True))

    @classmethod
    async def sign_in(cls, name, store):
        user_id, password = register(name)
        config = AsyncClientConfig(store_sync_tokens=False)
        client = AsyncClient(URL, user_id, store_path=store, config=config)
        answer = await client.login(password, device_name=f"{name}'s bot")
        assert isinstance(answer, LoginResponse), answer
        device = cls(client)
        await asyncio.wait_for(client.synced.wait(), PATIENCE_S)
        return device

    async def see(self, room, event):
        async with self.news:
            self.seen.append((room.room_id, event))
            self.news.notify_all()

    async def until(self, what, wanted):
        """Waits until an event is seen for which `wanted(room_id, event)` holds; gives the event."""

        def find():
            return next((event for room_id, event in self.seen if wanted(room_id, event)), None)

        async with self.news:
            try:
                return await asyncio.wait_for(self.news.wait_for(find), PATIENCE_S)
            except TimeoutError:
                raise AssertionError(f"{self.client.user_id} did not see {what}; seen was {self.seen}") from None

    async def sees(self, room_id, sender, body):
        """Waits until a message is seen that came encrypted and could be read."""

        def wanted(where, event):
            return (
                isinstance(event, RoomMessageText)
                and (where, event.sender, event.body) == (room_id, sender, body)
                and event.decrypted
            )

        await self.until(f"{body!r}", wanted)

    async def say(self, room_id, body):
        content = {"msgtype": "m.text", "body": body}
        answer = await self.client.room_send(room_id, "m.room.message", content, ignore_unverified_devices=True)
        assert isinstance(answer, RoomSendResponse), answer

    async def close(self):
        self.following.cancel()
        await self.client.close()


class EncryptedChat(unittest.IsolatedAsyncioTestCase):
    async def test_two_friends_chat_encrypted_both_ways(self):
        store = self.enterContext(tempfile.TemporaryDirectory())
        alice = await Device.sign_in("alice", store)
        self.addAsyncCleanup(alice.close)
        bob = await Device.sign_in("bob", store)
        self.addAsyncCleanup(bob.close)

        encryption = {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
        created = await alice.client.room_create(
            is_direct=True, invite=[bob.client.user_id], initial_state=[encryption | {"state_key": ""}]
        )
        self.assertIsInstance(created, RoomCreateResponse)
        room_id = created.room_id
        await bob.until("the invitation", lambda where, event: (where, type(event)) == (room_id, InviteMemberEvent))
        self.assertIsInstance(await bob.client.join(room_id), JoinResponse)

        def joins(where, event):
            is_member = isinstance(event, RoomMemberEvent) and where == room_id
            return is_member and event.state_key == bob.client.user_id and event.membership == "join"

        await alice.until("Bob joining", joins)
        await bob.until("himself joining", joins)

        await alice.say(room_id, "Hello Bob!")
        await bob.sees(room_id, alice.client.user_id, "Hello Bob!")
        await bob.say(room_id, "Hello Alice!")
        await alice.sees(room_id, bob.client.user_id, "Hello Alice!")
        await alice.say(room_id, "Lunch?")
        await bob.sees(room_id, alice.client.user_id, "Lunch?")


if __name__ == "__main__":
    unittest.main()
