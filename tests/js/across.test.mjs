// A friend with matrix-js-sdk (Element Web) and one with matrix-sdk (Element X).

import assert from "node:assert/strict";
import { test } from "node:test";

import { newcomer } from "./device.mjs";
import { startPeer } from "./peer.mjs";
import { joinComparing, startComparing, untilDone } from "./verification.mjs";

/** A direct chat in which both have heard the other; the answer is the room's id. */
async function directChat(alice, peer) {
    const roomId = await alice.startDirectChat(peer.userId);
    await peer.ask("join", { room_id: roomId });
    await alice.seesJoin(roomId, peer.userId);
    await alice.say(roomId, "Hello from the browser!");
    await peer.ask("see", { sender: alice.userId, body: "Hello from the browser!" });
    await peer.ask("say", { body: "Hello from the phone!" });
    await alice.sees(roomId, peer.userId, "Hello from the phone!");
    return roomId;
}

for (const sync of ["v3", "sliding"]) {
    test(`the browser asks the phone to verify by emoji (phone over ${sync} sync)`, async (t) => {
        const [alice, peer] = await Promise.all([newcomer(t, "alice"), startPeer(t, sync)]);
        const roomId = await directChat(alice, peer);

        const request = await alice.crypto.requestVerificationDM(peer.userId, roomId);
        const [atAlice, atPeer] = await Promise.all([
            startComparing(request),
            peer.ask("answer", { flow_id: request.transactionId }),
        ]);
        assert.deepEqual(atAlice.emoji, atPeer.emoji);
        const [, confirmed] = await Promise.all([atAlice.confirm(), peer.ask("confirm")]);
        assert.equal(confirmed.verified, alice.userId);
        await untilDone(request);
        await alice.untilVerified(peer.userId);
    });

    test(`the phone asks the browser to verify by emoji (phone over ${sync} sync)`, async (t) => {
        const [alice, peer] = await Promise.all([newcomer(t, "alice"), startPeer(t, sync)]);
        await directChat(alice, peer);

        const asked = alice.untilAskedToVerify();
        const { flow_id: flowId } = await peer.ask("ask", { user_id: alice.userId });
        const request = await asked;
        assert.equal(request.transactionId, flowId);
        const [atAlice, atPeer] = await Promise.all([joinComparing(request), peer.answer()]);
        assert.deepEqual(atAlice.emoji, atPeer.emoji);
        const [, confirmed] = await Promise.all([atAlice.confirm(), peer.ask("confirm")]);
        assert.equal(confirmed.verified, alice.userId);
        await untilDone(request);
        await alice.untilVerified(peer.userId);
    });
}
