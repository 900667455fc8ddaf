// The core of a friend's day with Element Web: an encrypted chat, a second device, emoji.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Device, newcomer } from "./device.mjs";
import { joinComparing, startComparing, untilDone } from "./verification.mjs";

/** A direct chat in which both have heard the other; the answer is the room's id. */
async function directChat(alice, bob) {
    const roomId = await alice.startDirectChat(bob.userId);
    await bob.acceptInvite(roomId);
    await alice.seesJoin(roomId, bob.userId);
    await alice.say(roomId, "Hello Bob!");
    await bob.sees(roomId, alice.userId, "Hello Bob!");
    await bob.say(roomId, "Hello Alice!");
    await alice.sees(roomId, bob.userId, "Hello Alice!");
    return roomId;
}

test("two friends chat encrypted, both ways", async (t) => {
    await directChat(await newcomer(t, "alice"), await newcomer(t, "bob"));
});

test("a second device restores the key backup and reads old messages", async (t) => {
    const first = await newcomer(t, "alice");
    const bob = await newcomer(t, "bob");
    const roomId = await directChat(first, bob);
    // Each friend's messages have a key of their own.
    await first.untilBackedUp(2);

    const second = await Device.signIn(first.person, "Alice's other browser");
    t.after(() => second.close());
    second.recoveryKey = first.recoveryKey;
    await second.crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    assert.ok(await second.crypto.checkKeyBackupAndEnable(), "the backup is there and trusted");
    const restored = await second.crypto.restoreKeyBackup();
    assert.ok(restored.imported >= 2, `both friends' keys are restored: ${JSON.stringify(restored)}`);
    await second.client.scrollback(second.client.getRoom(roomId), 50);
    await second.sees(roomId, first.userId, "Hello Bob!");
    await second.sees(roomId, bob.userId, "Hello Alice!");

    // Secret storage holds the private keys of cross-signing: with them the device signs itself.
    await second.crypto.bootstrapCrossSigning({});
    await second.untilSelfSigned();
});

test("two friends verify each other by emoji", async (t) => {
    const alice = await newcomer(t, "alice");
    const bob = await newcomer(t, "bob");
    const roomId = await directChat(alice, bob);
    assert.equal(await alice.hasVerified(bob.userId), false);

    const asked = bob.untilAskedToVerify();
    const request = await alice.crypto.requestVerificationDM(bob.userId, roomId);
    const answer = await asked;
    const [atAlice, atBob] = await Promise.all([startComparing(request), joinComparing(answer)]);
    assert.equal(atAlice.emoji.length, 7);
    assert.deepEqual(atAlice.emoji, atBob.emoji);
    await Promise.all([atAlice.confirm(), atBob.confirm()]);
    await Promise.all([untilDone(request), untilDone(answer)]);

    await Promise.all([alice.untilVerified(bob.userId), bob.untilVerified(alice.userId)]);
});
