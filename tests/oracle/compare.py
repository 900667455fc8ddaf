#!/usr/bin/env python3
"""Compares our decisions on generated rooms with those of Synapse's own functions, called in process.

For each room version: event ids, content hashes, redacted forms, the authorization rules (by the auth events, and by
the state before each event) and resolved states. Every difference is printed with what reproduces it, and the exit
status is 1 if there is any.

One thing in which Synapse goes beyond the rules of the specification is taken out of it beforehand: see
`membership_without_federation_of_target`.

    compare.py --oracle PATH [--versions 1,2,…] [--per-version N] [--seed S] [--steps K]

Needs the package matrix-synapse; where it is not in the running Python, KITH_SYNAPSE_VENV names a virtual environment
that has it.
"""

import argparse
import json
import os
import subprocess
import sys

# A systematic difference would print thousands of lines.
DIFFERENCES_SHOWN_MAX = 10
# A process has this many rooms in memory.
ROOMS_AT_A_TIME = 50
VERSIONS = [str(version) for version in range(1, 13)]

try:
    import synapse  # noqa: F401
except ImportError:
    python = os.path.join(os.environ.get("KITH_SYNAPSE_VENV", ""), "bin", "python")
    if not os.environ.get("KITH_SYNAPSE_VENV") or os.environ.get("KITH_ORACLE_REEXECUTED"):
        sys.exit("matrix-synapse is not installed here; set KITH_SYNAPSE_VENV to a virtual environment that has it")
    os.environ["KITH_ORACLE_REEXECUTED"] = "1"
    os.execv(python, [python, *sys.argv])

import collections  # noqa: E402
import functools  # noqa: E402
import hashlib  # noqa: E402
import logging  # noqa: E402
import multiprocessing  # noqa: E402

import nacl.signing  # noqa: E402
from signedjson.key import decode_verify_key_bytes  # noqa: E402
from signedjson.sign import SignatureVerifyException, verify_signed_json  # noqa: E402
from synapse import event_auth  # noqa: E402
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS  # noqa: E402
from synapse.crypto.event_signing import compute_content_hash  # noqa: E402
from synapse.events import make_event_from_dict  # noqa: E402
from synapse.events.utils import prune_event  # noqa: E402
from synapse.state import v1, v2  # noqa: E402
from synapse.storage.databases.main.event_federation import StateDifference  # noqa: E402

logging.disable(logging.CRITICAL)


def finish(coroutine):
    """Runs a coroutine that waits for nothing."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration as stop:
        return stop.value


class Clock:
    async def sleep(self, _duration):
        pass


class Store:
    """The events of one room, with the graph questions that state resolution asks."""

    def __init__(self, events):
        self.events = events

    async def get_events(self, event_ids, redact_behaviour=None, get_prev_content=False, allow_rejected=False):
        return {event_id: self.events[event_id] for event_id in event_ids if event_id in self.events}

    async def get_auth_chain_difference(self, room_id, state_sets, conflicted_state, additional):
        chains = [self.chain(state_set) for state_set in state_sets]
        difference = set.union(*chains) - set.intersection(*chains)
        subgraph = None
        if conflicted_state is not None:
            # By the definition: reached from a conflicted event, and reaching one.
            reached = self.chain(conflicted_state)
            subgraph = {event_id for event_id in reached if self.chain([event_id]) & conflicted_state}
        return StateDifference(auth_difference=difference, conflicted_subgraph=subgraph)

    def chain(self, event_ids):
        seen, stack = set(), list(event_ids)
        while stack:
            event_id = stack.pop()
            if event_id not in seen:
                seen.add(event_id)
                stack.extend(self.events[event_id].auth_event_ids())
        return seen


@functools.cache
def key_of(server):
    seed = server[:1].encode() * 32
    return decode_verify_key_bytes("ed25519:0", nacl.signing.SigningKey(seed).verify_key.encode())


def refusal(decide):
    """None, or why Synapse refuses. Malformed content raises other errors than AuthError; all of them refuse."""
    try:
        result = decide()
        if result is not None and hasattr(result, "send"):
            finish(result)
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return None


class FederatingCreate:
    """A create event, but that its room is open to users of other servers."""

    def __init__(self, create):
        self._create = create
        self.content = {key: value for key, value in create.content.items() if key != "m.federate"}

    def __getattr__(self, name):
        return getattr(self._create, name)


def membership_without_federation_of_target(room_version, event, auth_events):
    """Synapse's rules of membership, but for one: it asks of `m.federate` for the target's server too.

    The specification, and the sender's check that Synapse makes before, ask for the sender's server only. In such a
    room all servers are one server, so nobody else is there to disagree.
    """
    create = auth_events.get(("m.room.create", ""))
    if create is not None:
        auth_events = {**auth_events, ("m.room.create", ""): FederatingCreate(create)}
    return synapse_membership(room_version, event, auth_events)


synapse_membership = event_auth._is_membership_change_allowed
event_auth._is_membership_change_allowed = membership_without_federation_of_target


class Room:
    def __init__(self, given):
        self.given = given
        self.version = KNOWN_ROOM_VERSIONS[given["version"]]
        self.events = {}
        for event in given["events"]:
            rejected = "rejected" if event["rejected"] else None
            made = make_event_from_dict(event["pdu"], self.version, {}, rejected)
            self.events[event["event_id"]] = made
        self.store = Store(self.events)
        self.create = self.events[given["events"][0]["event_id"]]

    def compare(self, ours, differ):
        for given, our in zip(self.given["events"], ours["events"], strict=True):
            self.compare_event(given, our, differ)
        for states, our in zip(self.given["resolutions"], ours["resolved"], strict=True):
            self.compare_resolution(states, our, differ)

    def compare_event(self, given, our, differ):
        event = self.events.get(our["event_id"])
        if event is None or event.event_id != our["event_id"]:
            return differ("event id", given, our["event_id"], getattr(event, "event_id", None))
        _, content_hash = compute_content_hash(dict(given["pdu"]), hashlib.sha256)
        if content_hash.hex() != our["content_hash"]:
            differ("content hash", given, our["content_hash"], content_hash.hex())
        pruned = json.loads(json.dumps(prune_event(event).get_pdu_json()))
        pruned.pop("unsigned", None)
        if pruned != our["redacted"]:
            differ("redaction", given, our["redacted"], pruned)
        by_auth_events = refusal(lambda: event_auth.check_state_independent_auth_rules(self.store, event))
        state = [self.events[event_id] for event_id in given["state_before"]]
        by_state = refusal(lambda: event_auth.check_state_dependent_auth_rules(event, state))
        # Of the create event all is decided by the rules that ask for no state.
        theirs = by_auth_events if event.type == "m.room.create" else by_state
        if (theirs is None) != (our["state"] is None):
            differ("authorization", given, our["state"], theirs)
        # Malformed content makes Synapse stumble (and refuse) already where it looks for the auth events.
        stumbled = by_auth_events is not None and not by_auth_events.startswith("AuthError") and our["state"]
        if (by_auth_events is None) != (our["auth_events"] is None) and not stumbled:
            differ("auth events", given, our["auth_events"], by_auth_events)
        if not self.is_signed(event, pruned):
            differ("signature", given, "signed", "the signature does not match")

    def is_signed(self, event, pruned):
        """Whether the sender's server signed the event, whose key is made of the first letter of its name."""
        server = event.sender.split(":", 1)[1]
        if "third_party_invite" in event.content:
            return True
        try:
            verify_signed_json(pruned, server, key_of(server))
        except SignatureVerifyException:
            return False
        return True

    def compare_resolution(self, states, our, differ):
        sets = []
        for ids in states:
            events = [self.events[event_id] for event_id in ids]
            sets.append({(event.type, event.state_key): event.event_id for event in events})
        try:
            theirs = sorted(finish(self.resolve(sets)).values())
        except Exception as error:  # noqa: BLE001
            theirs = f"{type(error).__name__}: {error}"
        if theirs != our:
            differ("resolution", states, our, theirs)

    async def resolve(self, sets):
        room_id = self.create.room_id
        if self.version.identifier == "1":
            return await v1.resolve_events_with_store(room_id, self.version, sets, None, self.store.get_events)
        return await v2.resolve_events_with_store(Clock(), room_id, self.version, sets, None, self.store)


def lines(oracle, arguments, text=None):
    run = subprocess.run([oracle, *arguments], input=text, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"{oracle} {' '.join(arguments)} failed: {run.stderr}")
    # Not splitlines(): JSON may hold other line separators as they are.
    return run.stdout.removesuffix("\n").split("\n")


def compare_rooms(work):
    """Compares some rooms of one version: a tally, and the differences told."""
    options, version, seed, count = work
    sizes = ["--version", version, "--count", str(count), "--seed", str(seed), "--steps", str(options.steps)]
    given = lines(options.oracle, ["generate", *sizes])
    ours = lines(options.oracle, ["decide"], "\n".join(given) + "\n")
    tally, differences = collections.Counter(), []
    for room_line, our_line in zip(given, ours, strict=True):
        room = json.loads(room_line)

        def differ(what, where, our, theirs, room=room):
            differences.append(
                f"version {version}, seed {room['seed']}, steps {options.steps}: {what} differs\n"
                f"  at     {json.dumps(where)[:600]}\n  ours   {our}\n  theirs {theirs}"
            )

        Room(room).compare(json.loads(our_line), differ)
        tally["rooms"] += 1
        tally["events"] += len(room["events"])
        tally["refused"] += sum(event["rejected"] for event in room["events"])
        tally["conflicts"] += sum(any(state != states[0] for state in states) for states in room["resolutions"])
    return tally, differences


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--oracle", required=True, help="the binary of `cargo build -p room --example oracle`")
    parser.add_argument("--versions", default=",".join(VERSIONS))
    parser.add_argument("--per-version", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=40, help="events of a room, beside those that found it")
    options = parser.parse_args()
    count = 0
    with multiprocessing.Pool() as pool:
        for version in options.versions.split(","):
            seeds = range(options.seed, options.seed + options.per_version, ROOMS_AT_A_TIME)
            end = options.seed + options.per_version
            work = [(options, version, seed, min(ROOMS_AT_A_TIME, end - seed)) for seed in seeds]
            total = collections.Counter()
            for tally, differences in pool.imap(compare_rooms, work):
                total += tally
                for difference in differences[: max(0, DIFFERENCES_SHOWN_MAX - count)]:
                    print(difference)
                count += len(differences)
            told = "{rooms} rooms, {events} events ({refused} refused), {conflicts} conflicts"
            print(f"version {version}: {told.format_map(total)}", flush=True)
    print(f"{count} differences")
    sys.exit(1 if count else 0)


if __name__ == "__main__":
    main()
