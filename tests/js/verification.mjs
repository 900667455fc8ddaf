// Verification by comparing emoji (SAS), from either side.

import { VerificationPhase, VerificationRequestEvent, VerifierEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

import { until } from "./wait.mjs";

/** Asks to compare, once the other side is ready; the answer is what to compare, and how to go on. */
export async function startComparing(request) {
    await untilPhase(request, VerificationPhase.Ready);
    return compare(await request.startVerification("m.sas.v1"));
}

/** Agrees to verify, and joins the comparing that the other side starts. */
export async function joinComparing(request) {
    await request.accept();
    await untilPhase(request, VerificationPhase.Started);
    return compare(request.verifier);
}

/** Waits until both sides have confirmed. */
export function untilDone(request) {
    return untilPhase(request, VerificationPhase.Done);
}

function untilPhase(request, phase) {
    const change = [[request, VerificationRequestEvent.Change]];
    return until(`the verification reaches ${VerificationPhase[phase]}`, change, () => {
        if (request.phase === VerificationPhase.Cancelled) {
            throw new Error(`the verification was cancelled: ${request.cancellationCode}`);
        }
        return request.phase === phase;
    });
}

/** { emoji: the names of the seven, confirm: a function that resolves when both have confirmed }. */
async function compare(verifier) {
    const verified = verifier.verify();
    // Handled where it is awaited; until then it must not count as nobody's.
    verified.catch(() => {});
    const sas = await until("the emoji are shown", [[verifier, VerifierEvent.ShowSas]], () => verifier.getShowSasCallbacks());
    return {
        emoji: sas.sas.emoji.map(([, name]) => name),
        confirm: async () => {
            await sas.confirm();
            await verified;
        },
    };
}
