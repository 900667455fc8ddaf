// People and the devices they sign in on, with matrix-js-sdk. Which server, the environment says:
// KITH_TEST_URL, and KITH_TEST_REGISTRATION_TOKEN or else KITH_TEST_SECRET.

import "./node20.mjs";

import { createHmac, randomBytes } from "node:crypto";
import loglevel from "loglevel";
import {
    ClientEvent,
    EventStatus,
    EventType,
    MatrixError,
    MatrixEventEvent,
    MsgType,
    RoomEvent,
    RoomMemberEvent,
    createClient,
} from "matrix-js-sdk";
import { CryptoEvent, decodeRecoveryKey } from "matrix-js-sdk/lib/crypto-api/index.js";

import { until } from "./wait.mjs";

const URL = process.env.KITH_TEST_URL;
if (!URL) throw new Error("set KITH_TEST_URL (or run ./test js)");

const silence = () => {};
const quiet = { trace: silence, debug: silence, info: silence, warn: silence, error: silence, getChild: () => quiet };
/** The SDK's own account of what it does, where it is asked for. */
const logger = process.env.KITH_TEST_VERBOSE ? undefined : quiet;
// What the SDK logs beside the logger that it is given: children log as their parent does.
if (logger) {
    for (const each of Object.values(loglevel.getLoggers())) {
        each.methodFactory = () => silence;
        each.rebuild();
    }
}

/** Registers `name`, made unique; the answer is { userId, password }. */
export async function register(name) {
    const username = `${name}-${randomBytes(6).toString("hex")}`;
    const password = `${name} likes long passwords, ${randomBytes(6).toString("hex")}`;
    const token = process.env.KITH_TEST_REGISTRATION_TOKEN;
    const userId = token
        ? await registerByToken(username, password, token)
        : await registerBySecret(username, password, process.env.KITH_TEST_SECRET);
    return { userId, password };
}

async function registerByToken(username, password, token) {
    const client = createClient({ baseUrl: URL, logger });
    const request = { username, password, inhibit_login: true };
    let session;
    try {
        await client.registerRequest(request);
        throw new Error("registered without a token");
    } catch (error) {
        if (!(error instanceof MatrixError) || error.httpStatus !== 401) throw error;
        session = error.data.session;
    }
    const auth = { type: "m.login.registration_token", token, session };
    return (await client.registerRequest({ ...request, auth })).user_id;
}

async function registerBySecret(username, password, secret) {
    if (!secret) throw new Error("set KITH_TEST_REGISTRATION_TOKEN or KITH_TEST_SECRET");
    const endpoint = `${URL}/_synapse/admin/v1/register`;
    const { nonce } = await (await fetch(endpoint)).json();
    const mac = createHmac("sha1", secret).update([nonce, username, password, "notadmin"].join("\0")).digest("hex");
    const body = JSON.stringify({ nonce, username, password, admin: false, mac });
    const response = await fetch(endpoint, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    const answer = await response.json();
    if (!response.ok) throw new Error(`registering ${username}: ${response.status} ${JSON.stringify(answer)}`);
    return answer.user_id;
}

/** A signed-in client that follows the server until `close`. */
export class Device {
    static async signIn(person, name) {
        const login = await createClient({ baseUrl: URL, logger }).loginRequest({
            type: "m.login.password",
            identifier: { type: "m.id.user", user: person.userId },
            password: person.password,
            initial_device_display_name: name,
        });
        const device = new Device();
        device.person = person;
        device.client = createClient({
            baseUrl: URL,
            logger,
            userId: login.user_id,
            deviceId: login.device_id,
            accessToken: login.access_token,
            cryptoCallbacks: {
                // Secret storage asks for its key: the recovery key, once it is typed in.
                getSecretStorageKey: async ({ keys }) => [Object.keys(keys)[0], decodeRecoveryKey(device.recoveryKey)],
            },
        });
        await device.client.initRustCrypto({ useIndexedDB: false });
        await device.client.startClient({ lazyLoadMembers: true, threadSupport: true });
        const synced = () => device.client.isInitialSyncComplete();
        await until(`${name} has synced`, [[device.client, ClientEvent.Sync]], synced);
        return device;
    }

    get userId() {
        return this.person.userId;
    }

    get crypto() {
        return this.client.getCrypto();
    }

    /** Cross-signing, secret storage and key backup; the answer is the recovery key. */
    async setUpEncryption() {
        await this.crypto.bootstrapCrossSigning({
            // The first upload needs no password: none is given.
            authUploadDeviceSigningKeys: async (makeRequest) => {
                await makeRequest(null);
            },
        });
        const key = await this.crypto.createRecoveryKeyFromPassphrase();
        this.recoveryKey = key.encodedPrivateKey;
        await this.crypto.bootstrapSecretStorage({ createSecretStorageKey: async () => key, setupNewKeyBackup: true });
        await this.crypto.checkKeyBackupAndEnable();
        return this.recoveryKey;
    }

    /** Starts an encrypted direct chat; the answer is the room's id. */
    async startDirectChat(userId) {
        const { room_id: roomId } = await this.client.createRoom({
            preset: "trusted_private_chat",
            is_direct: true,
            invite: [userId],
            initial_state: [
                { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } },
            ],
        });
        await this.untilRoom(roomId, "join");
        return roomId;
    }

    /** Accepts an invitation as soon as it arrives. */
    async acceptInvite(roomId) {
        await this.untilRoom(roomId, "invite");
        await this.client.joinRoom(roomId);
        await this.untilRoom(roomId, "join");
    }

    /** Waits until the room is one with this membership, and known to be encrypted once joined. */
    untilRoom(roomId, membership) {
        const events = [ClientEvent.Room, RoomEvent.MyMembership, RoomEvent.Timeline, ClientEvent.Sync];
        const sources = events.map((name) => [this.client, name]);
        return until(`${this.userId} has ${roomId} as ${membership}`, sources, async () => {
            const room = this.client.getRoom(roomId);
            if (room?.getMyMembership() !== membership) return false;
            return membership !== "join" || (await this.crypto.isEncryptionEnabledInRoom(roomId));
        });
    }

    /** Waits until the other is seen to join. */
    seesJoin(roomId, userId) {
        const sources = [[this.client, RoomMemberEvent.Membership], [this.client, ClientEvent.Sync]];
        const joined = () => this.client.getRoom(roomId)?.getMember(userId)?.membership === "join";
        return until(`${userId} joins`, sources, joined);
    }

    /** Says something; returns its event id when the server has it. */
    async say(roomId, body) {
        const { event_id: eventId } = await this.client.sendMessage(roomId, { msgtype: MsgType.Text, body });
        return eventId;
    }

    /** Waits until a message of this sender and text is seen, decrypted; in clear it does not count. */
    sees(roomId, sender, body) {
        const sources = [
            [this.client, RoomEvent.Timeline],
            [this.client, RoomEvent.LocalEchoUpdated],
            [this.client, MatrixEventEvent.Decrypted],
        ];
        return until(`${this.userId} sees ${body}`, sources, () => {
            const events = this.client.getRoom(roomId)?.getLiveTimeline().getEvents() ?? [];
            return events.find(
                (event) =>
                    event.getSender() === sender &&
                    event.getWireType() === EventType.RoomMessageEncrypted &&
                    (event.status === null || event.status === EventStatus.SENT) &&
                    event.getContent().body === body,
            );
        });
    }

    /** Waits until the backup on the server holds the keys of this many conversations. */
    untilBackedUp(count) {
        const sources = [[this.client, CryptoEvent.KeyBackupSessionsRemaining]];
        const prefix = "/_matrix/client/v3";
        return until(`${count} keys are backed up`, sources, async () => {
            // Not `getKeyBackupInfo`: it answers from memory.
            const backup = await this.client.http.authedRequest("GET", "/room_keys/version", {}, undefined, { prefix });
            return backup.count >= count;
        });
    }

    /** Waits for the next request to verify. */
    untilAskedToVerify() {
        return new Promise((resolve) => this.client.once(CryptoEvent.VerificationRequestReceived, resolve));
    }

    /** Waits until this person has verified the other, as the keys on the server show. */
    untilVerified(userId) {
        const sources = [[this.client, CryptoEvent.UserTrustStatusChanged], [this.client, ClientEvent.Sync]];
        return until(`${this.userId} has verified ${userId}`, sources, () => this.hasVerified(userId));
    }

    async hasVerified(userId) {
        return (await this.crypto.getUserVerificationStatus(userId)).isCrossSigningVerified();
    }

    /** Waits until this device is signed by its person's own keys, as the keys on the server show. */
    untilSelfSigned() {
        const sources = [[this.client, CryptoEvent.DevicesUpdated], [this.client, ClientEvent.Sync]];
        return until(`${this.client.getDeviceId()} is signed`, sources, async () => {
            const status = await this.crypto.getDeviceVerificationStatus(this.userId, this.client.getDeviceId());
            return status?.crossSigningVerified;
        });
    }

    close() {
        this.client.stopClient();
    }
}

/** Registers somebody, signs in and sets up encryption; the device ends with the test `t`. */
export async function newcomer(t, name) {
    const device = await Device.signIn(await register(name), `${name}'s browser`);
    t.after(() => device.close());
    await device.setUpEncryption();
    return device;
}
