// Waiting for what must happen, by listening: never for time to pass.

/** How long a story waits: far more than it takes, so that a loaded machine fails no story. */
export const PATIENCE_MS = 60_000;

/**
 * Resolves with the first truthy answer of `look`, asked now and after each of the events.
 * `sources` are pairs of an emitter and the name of its event.
 */
export function until(what, sources, look) {
    return new Promise((resolve, reject) => {
        let settled = false;
        const settle = (finish, value) => {
            if (settled) return;
            settled = true;
            clearTimeout(timer);
            for (const [emitter, name] of sources) emitter.off(name, check);
            finish(value);
        };
        const check = async () => {
            try {
                const answer = await look();
                if (answer) settle(resolve, answer);
            } catch (error) {
                settle(reject, error);
            }
        };
        const late = () => settle(reject, new Error(`did not happen within ${PATIENCE_MS / 1000} s: ${what}`));
        const timer = setTimeout(late, PATIENCE_MS);
        for (const [emitter, name] of sources) emitter.on(name, check);
        check();
    });
}
