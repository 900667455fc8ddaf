// A friend with matrix-sdk, in a process of its own: tests/clients/src/bin/peer.rs says what it can do.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** Starts one that follows over `sync` ("v3" or "sliding"); it ends with the test. */
export async function startPeer(t, sync) {
    const program = process.env.KITH_TEST_PEER;
    if (!program) throw new Error("set KITH_TEST_PEER: the binary `peer` of tests/clients (or run ./test js)");
    const child = spawn(program, [sync], { stdio: ["pipe", "pipe", "inherit"] });
    t.after(() => child.stdin.end());
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const answer = async () => {
        const { value, done } = await lines.next();
        if (done) throw new Error("the peer has ended; its error is above");
        return JSON.parse(value);
    };
    const { user_id: userId } = await answer();
    const peer = {
        userId,
        answer,
        /** Asks for one thing; resolves with the answer. */
        ask(what, details = {}) {
            child.stdin.write(`${JSON.stringify({ do: what, ...details })}\n`);
            return answer();
        },
    };
    return peer;
}
