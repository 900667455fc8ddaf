//! The group commit, the stream, the append of room events and the state tree, on both engines. PostgreSQL is tested
//! when `KITH_TEST_POSTGRES` names a server.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use storage::append::{
    AppendError, CurrentChange, NewEvent, NewMember, NewRoom, NewStateKey, NewTransaction,
    Placement, RoomChange, decode_event_id, encode_event_id,
};
use storage::events::{self, Place};
use storage::ids::intern_users;
use storage::rooms::{EventStanding, Membership, RoomStanding, find_room};
use storage::states::{self, StateHead};
use storage::{
    Clock, Counter, Database, DeviceKey, Engine, Error, EventKey, Kind, OpenError, Options,
    Position, RoomKey, StateNo, Topic, UserKey, params,
};

struct Frozen;

impl Clock for Frozen {
    fn now_ms(&self) -> u64 {
        1_000_000
    }
}

fn options(engine: Engine, server_name: &str) -> Options {
    Options {
        engine,
        server_name: server_name.into(),
        clock: Arc::new(Frozen),
        page_cache_bytes: 8 << 20,
        on_fatal: Arc::new(|why| panic!("{why}")),
    }
}

async fn open(engine: Engine) -> Database {
    let options = options(engine, "kith.example");
    tokio::task::spawn_blocking(move || Database::open(options))
        .await
        .unwrap()
        .unwrap()
}

/// Runs a test on SQLite, and on PostgreSQL where there is one.
async fn on_both<F: Future<Output = ()>>(name: &str, test: impl Fn(Database) -> F) {
    let dir = tempfile::tempdir().unwrap();
    test(open(Engine::Sqlite(dir.path().join("kith.db"))).await).await;
    let Ok(url) = std::env::var("KITH_TEST_POSTGRES") else {
        eprintln!("SKIPPED on PostgreSQL: KITH_TEST_POSTGRES is not set");
        return;
    };
    let database = format!("kith_foundation_{name}_{}", std::process::id());
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    let driving = tokio::task::spawn(connection);
    client
        .batch_execute(&format!("CREATE DATABASE {database}"))
        .await
        .unwrap();
    let (base, query) = url.split_once('?').unwrap_or((&url, ""));
    let (host, _) = base.rsplit_once('/').unwrap();
    test(open(Engine::Postgres(format!("{host}/{database}?{query}"))).await).await;
    client
        .batch_execute(&format!("DROP DATABASE {database} WITH (FORCE)"))
        .await
        .unwrap();
    driving.abort();
}

/// A room with a state head, as a lane would hold it.
struct Room {
    db: Database,
    key: RoomKey,
    user: UserKey,
    version: i64,
    state: StateHead,
    next_no: i64,
    last: Option<EventKey>,
    nodes: std::collections::HashMap<i64, states::Slots>,
}

impl Room {
    async fn new(db: &Database) -> Self {
        let user = db
            .write(|tx| intern_users(tx, &["@alice:kith.example"]))
            .await
            .unwrap()[0];
        let key = RoomKey(db.new_ids(Counter::Room, 1).await.unwrap()[0]);
        let mut room = Self {
            db: db.clone(),
            key,
            user,
            version: 0,
            state: StateHead::default(),
            next_no: 0,
            last: None,
            nodes: Default::default(),
        };
        let mut change = room.change(1, true).await;
        change.create = Some(NewRoom {
            room_id: format!("!{}:kith.example", key.0),
            room_version: "12".into(),
            published: false,
            created_ms: 1,
        });
        room.append(change).await.unwrap();
        room
    }

    /// A change of `count` events; state events each set a new number.
    async fn change(&mut self, count: usize, is_state: bool) -> RoomChange {
        let ids = self.db.new_ids(Counter::Event, count).await.unwrap();
        let mut change = RoomChange {
            room: self.key,
            base: self.version,
            create: None,
            events: Vec::new(),
            state_keys: Vec::new(),
            states: Vec::new(),
            nodes: Vec::new(),
            rooted: Vec::new(),
            current: Vec::new(),
            members: Vec::new(),
            extremities: Vec::new(),
            state: None,
            depth: 1,
            joined_members: 1,
            invited_members: 0,
            standing: RoomStanding::Joined,
            summary: Arc::from(&b"{}"[..]),
            gaps: Vec::new(),
        };
        for id in ids {
            let key = EventKey(id);
            let state_no = if is_state {
                Some(self.set_state(&mut change, key).await)
            } else {
                None
            };
            change
                .events
                .push(event(key, self.user, state_no, self.state.id));
            self.last = Some(key);
        }
        change.state = self.state.id;
        change.extremities = self
            .last
            .map(|key| (key, self.state.id.unwrap_or_default()))
            .into_iter()
            .collect();
        change
    }

    async fn set_state(&mut self, change: &mut RoomChange, key: EventKey) -> StateNo {
        let no = StateNo(self.next_no);
        self.next_no += 1;
        change.state_keys.push(NewStateKey {
            no,
            event_type: "m.test".into(),
            state_key: no.0.to_string(),
        });
        let id = self.db.new_ids(Counter::State, 1).await.unwrap()[0];
        let (root, long) = (self.state.root, self.state.is_long());
        let numbers: Vec<_> = self.state.chain.iter().map(|(_, no, _)| *no).collect();
        let mut spare = Vec::new();
        if long {
            let held = std::mem::take(&mut self.nodes);
            let (held, loaded) = self
                .db
                .read(move |snap| -> Result<_, Error> {
                    let loaded = states::load_nodes_beyond(snap, root, Some(&numbers), &held)?;
                    Ok((held, loaded))
                })
                .await
                .unwrap();
            self.nodes.extend(held.into_iter().chain(loaded));
            spare = self.db.new_ids(Counter::Node, 200).await.unwrap();
        }
        let new = self
            .state
            .push(id, no, Some(key), &self.nodes, || spare.pop().unwrap());
        self.nodes
            .extend(new.nodes.iter().map(|node| (node.id, node.slots)));
        change.current.push(CurrentChange {
            no,
            event: Some(key),
            at: change.events.len(),
            state: id,
        });
        change.states.extend(new.states);
        change.nodes.extend(new.nodes);
        change.rooted.extend(new.rooted);
        no
    }

    async fn append(&mut self, change: RoomChange) -> Result<Vec<Position>, AppendError> {
        let change = Arc::new(change);
        let (_, positions) = self
            .db
            .write_placed(0, move |tx| tx.append(&change))
            .await?;
        self.version += 1;
        Ok(positions)
    }

    async fn messages(&mut self, count: usize) -> Vec<Position> {
        let change = self.change(count, false).await;
        self.append(change).await.unwrap()
    }
}

fn event(
    key: EventKey,
    sender: UserKey,
    state_no: Option<StateNo>,
    state_before: Option<i64>,
) -> NewEvent {
    NewEvent {
        key,
        event_id: format!("$event{}", key.0).into_bytes(),
        event_type: "m.room.message".into(),
        sender,
        state_no,
        ts: 1,
        depth: 1,
        standing: EventStanding::Accepted,
        placement: Placement::Live,
        state_before,
        auth: Vec::new(),
        relation: None,
        thread: None,
        replaces: None,
        redacts: None,
        notifies: true,
        exceptions: Vec::new(),
        transaction: None,
        body: Arc::from(&b"{}"[..]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writes_take_consecutive_positions_and_share_commits() {
    on_both("positions", |db| async move {
        let user = UserKey(1);
        let writes = (0..200).map(|_| {
            let db = db.clone();
            async move {
                db.write_placed(0, move |tx| -> Result<(), Error> {
                    tx.publish(Topic::User(user), Kind::AccountData, 0, 0);
                    Ok(())
                })
                .await
                .unwrap()
                .1
            }
        });
        let positions = futures_util::future::join_all(writes).await;
        let mut positions: Vec<i64> = positions
            .into_iter()
            .flatten()
            .map(|position| position.0)
            .collect();
        positions.sort_unstable();
        let first = positions[0];
        assert_eq!(positions, (first..first + 200).collect::<Vec<_>>());
        assert_eq!(db.head().await.unwrap(), Position(first + 199));
    })
    .await;
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("refused")]
    Here,
    #[error(transparent)]
    Storage(#[from] Error),
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_write_leaves_nothing_and_its_neighbours_stay() {
    on_both("refused", |db| async move {
        let writes = (0..50).map(|number| {
            let db = db.clone();
            async move {
                db.write(move |tx| -> Result<(), Refused> {
                    storage::jobs::put_job(tx, "test", &number.to_string(), b"", 5)?;
                    if number % 2 == 0 {
                        Err(Refused::Here)
                    } else {
                        Ok(())
                    }
                })
                .await
            }
        });
        let outcomes = futures_util::future::join_all(writes).await;
        assert_eq!(
            outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
            25
        );
        let jobs = db
            .read(|snap| storage::jobs::due_jobs(snap, 10, 100))
            .await
            .unwrap();
        assert_eq!(jobs.len(), 25);
        assert!(
            jobs.iter()
                .all(|job| job.subject.parse::<i32>().unwrap() % 2 == 1)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_decided_on_an_older_head_is_not_written() {
    on_both("head_moved", |db| async move {
        let mut room = Room::new(&db).await;
        let stale = room.change(1, false).await;
        room.messages(1).await;
        let stale = Arc::new(stale);
        let outcome = db.write(move |tx| tx.append(&stale)).await;
        assert!(
            matches!(outcome, Err(AppendError::HeadMoved)),
            "{outcome:?}"
        );
        // Three events: the first state event and one message are there, the stale one is not.
        let key = room.key;
        let shown = db
            .read(move |snap| events::forwards(snap, key, Place::START, Place::END, 10))
            .await
            .unwrap();
        assert_eq!(shown.len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_one_room_in_one_group_build_on_each_other() {
    on_both("pipelined", |db| async move {
        let mut room = Room::new(&db).await;
        let mut queued = Vec::new();
        for number in 0..64 {
            let change = Arc::new(room.change(1, number % 4 == 0).await);
            queued.push(db.submit(0, move |tx| tx.append(&change)));
            room.version += 1;
        }
        for outcome in futures_util::future::join_all(queued).await {
            outcome.unwrap();
        }
        let key = room.key;
        let (row, shown, ends) = db
            .read(move |snap| -> Result<_, Error> {
                let row = storage::rooms::rooms_by_key(snap, &[key])?
                    .remove(&key)
                    .unwrap();
                let shown = events::backwards(snap, key, Place::END, Place::START, 100)?;
                Ok((row, shown, storage::rooms::extremities(snap, key)?))
            })
            .await
            .unwrap();
        assert_eq!(row.version, 65);
        assert_eq!(shown.len(), 65);
        // Newest first, each with the count of all before it.
        assert_eq!(
            shown.iter().map(|event| event.tally).collect::<Vec<_>>(),
            (1..=65).rev().collect::<Vec<_>>()
        );
        assert_eq!(ends, vec![(shown[0].key, row.state.unwrap())]);
        assert!(shown.windows(2).all(|pair| pair[0].place > pair[1].place));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_client_transaction_is_refused_by_the_database_itself() {
    on_both("transaction", |db| async move {
        let mut room = Room::new(&db).await;
        for attempt in 0..2 {
            let mut change = room.change(1, false).await;
            change.events[0].transaction = Some(NewTransaction {
                device: DeviceKey(3),
                endpoint: b"PUT /send".to_vec(),
                transaction_id: b"m1".to_vec(),
                answer: Vec::new(),
            });
            let change = Arc::new(change);
            let outcome = db.write(move |tx| tx.append(&change)).await;
            match attempt {
                0 => outcome.unwrap(),
                _ => assert!(
                    matches!(outcome, Err(AppendError::Storage(Error::Duplicate(_)))),
                    "{outcome:?}"
                ),
            }
            if attempt == 0 {
                room.version += 1;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_room_are_woken_and_others_are_not() {
    on_both("wake", |db| async move {
        let mut room = Room::new(&db).await;
        let bob = db
            .write(|tx| intern_users(tx, &["@bob:kith.example"]))
            .await
            .unwrap()[0];
        let mut alice_hears = db.listen(room.user).await.unwrap();
        let bob_hears = db.listen(bob).await.unwrap();
        let bob_before = bob_hears.changed();
        let mut change = room.change(1, true).await;
        change.members.push(NewMember {
            user: room.user,
            local: true,
            membership: Membership::Join,
            at: 0,
            sender: room.user,
            displayname: Some("Alice".into()),
            avatar_url: None,
            stripped: None,
        });
        room.append(change).await.unwrap();
        let since = db.head().await.unwrap();
        let sent = room.messages(1).await;
        alice_hears.changed_after(since).await;
        assert!(alice_hears.changed() >= sent[0]);
        assert_eq!(bob_hears.changed(), bob_before);
        let rooms = db.rooms_of(room.user).await.unwrap();
        assert_eq!(rooms.get(&room.key), Some(&Membership::Join));
        assert_eq!(db.memory().room_changes(room.key).unwrap().events, sent[0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_adds_no_state_row_and_a_state_change_stays_small() {
    on_both("bloat", |db| async move {
        let mut room = Room::new(&db).await;
        // 2,000 names here; the long form of the suite grows to 20,000.
        let names = if std::env::var("KITH_TEST_LONG").is_ok() {
            20_000
        } else {
            2_000
        };
        for _ in 0..names / 100 {
            let change = room.change(100, true).await;
            room.append(change).await.unwrap();
        }
        let rows = |db: Database| async move {
            db.read(|snap| -> Result<_, Error> {
                let states = snap.query("SELECT COUNT(*) FROM states", params![])?[0].int(0);
                let bytes = snap.query(
                    "SELECT CAST(SUM(LENGTH(slots)) AS BIGINT) FROM state_nodes",
                    params![],
                )?[0]
                    .opt_int(0)
                    .unwrap_or_default();
                let nodes = snap.query("SELECT COUNT(*) FROM state_nodes", params![])?[0].int(0);
                Ok((states, bytes + nodes * 8))
            })
            .await
            .unwrap()
        };
        let before = rows(db.clone()).await;
        room.messages(50).await;
        assert_eq!(rows(db.clone()).await, before, "messages wrote state rows");
        // A state row holds seven small integers: 40 bytes are generous.
        let per_change = (before.0 * 40 + before.1) / before.0;
        assert!(per_change <= 1024, "{per_change} bytes for a state change");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_server_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kith.db");
    drop(open(Engine::Sqlite(path.clone())).await);
    let other = options(Engine::Sqlite(path), "other.example");
    let refusal = tokio::task::spawn_blocking(move || {
        loop {
            // The lock is let go when the last thread of the first database has ended.
            match Database::open(other.clone()) {
                Err(OpenError::Storage(Error::Unavailable(_))) => std::thread::yield_now(),
                outcome => break outcome.err(),
            }
        }
    })
    .await
    .unwrap();
    assert!(
        matches!(refusal, Some(OpenError::OtherServer { .. })),
        "{refusal:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_refused_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kith.db");
    std::fs::write(
        &path,
        b"this is no database, but somebody's letter".repeat(200),
    )
    .unwrap();
    let before = std::fs::read(&path).unwrap();
    let wanted = options(Engine::Sqlite(path.clone()), "kith.example");
    let refusal = tokio::task::spawn_blocking(move || Database::open(wanted).err())
        .await
        .unwrap();
    assert!(
        matches!(
            refusal,
            Some(OpenError::Damaged(_) | OpenError::Storage(Error::Corrupt(_)))
        ),
        "{refusal:?}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_found_by_their_id() {
    on_both("find", |db| async move {
        let room = Room::new(&db).await;
        let id = format!("!{}:kith.example", room.key.0);
        let found = db
            .read(move |snap| find_room(snap, &id))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (found.key, found.version, found.standing),
            (room.key, 1, RoomStanding::Joined)
        );
    })
    .await;
}

#[test]
fn event_ids_survive_packing() {
    for id in [
        "$acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJk",
        "$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg",
        "$143273582443PhrSn:example.org",
        "$short",
        "$mixed+alphabets-AAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        assert_eq!(decode_event_id(&encode_event_id(id)), id);
    }
    assert_eq!(
        encode_event_id("$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg").len(),
        33
    );
}

/// What a random walk over states does.
#[derive(Debug, Clone)]
enum Step {
    Set(i64, i64),
    Remove(i64),
    ForkFrom(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0i64..600, 1i64..10_000).prop_map(|(no, event)| Step::Set(no, event)),
        1 => (0i64..600).prop_map(Step::Remove),
        1 => any::<usize>().prop_map(Step::ForkFrom),
    ];
    proptest::collection::vec(step, 1..160)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Every state that was ever made reads back whole, by number, and as a difference to every other.
    #[test]
    fn states_are_what_was_put_into_them(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(check_states(steps));
    }
}

async fn check_states(steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let db = open(Engine::Sqlite(dir.path().join("kith.db"))).await;
    let mut made: Vec<(i64, BTreeMap<StateNo, EventKey>)> = Vec::new();
    let mut head = StateHead::default();
    let mut model: BTreeMap<StateNo, EventKey> = BTreeMap::new();
    for (number, step) in steps.iter().enumerate() {
        let (no, event) = match step {
            Step::Set(no, event) => (StateNo(*no), Some(EventKey(*event))),
            Step::Remove(no) => (StateNo(*no), None),
            Step::ForkFrom(_) if made.is_empty() => continue,
            Step::ForkFrom(index) => {
                let (id, entries) = made[index % made.len()].clone();
                head = db
                    .read(move |snap| states::load_state(snap, id))
                    .await
                    .unwrap();
                model = entries;
                continue;
            }
        };
        let root = head.root;
        let numbers: Vec<_> = head.chain.iter().map(|(_, no, _)| *no).collect();
        let nodes = db
            .read(move |snap| states::load_nodes(snap, root, Some(&numbers)))
            .await
            .unwrap();
        let mut spare = db.new_ids(Counter::Node, 300).await.unwrap();
        let id = number as i64 + 1;
        let new = head.push(id, no, event, &nodes, || spare.pop().unwrap());
        match event {
            Some(event) => model.insert(no, event),
            None => model.remove(&no),
        };
        made.push((id, model.clone()));
        db.write(move |tx| write_state(tx, &new)).await.unwrap();
    }
    let pairs: Vec<_> = made
        .iter()
        .zip(made.iter().skip(7))
        .map(|(a, b)| (a.clone(), b.clone()))
        .collect();
    for (id, entries) in &made {
        let id = *id;
        let read = db
            .read(move |snap| states::entries(snap, id))
            .await
            .unwrap();
        assert_eq!(&read, entries);
    }
    for ((a, in_a), (b, in_b)) in pairs {
        let numbers: std::collections::BTreeSet<_> =
            in_a.keys().chain(in_b.keys()).copied().collect();
        let expected: Vec<_> = numbers
            .into_iter()
            .map(|no| (no, in_a.get(&no).copied(), in_b.get(&no).copied()))
            .filter(|(_, in_a, in_b)| in_a != in_b)
            .collect();
        assert_eq!(
            db.read(move |snap| states::difference(snap, a, b))
                .await
                .unwrap(),
            expected
        );
    }
}

/// Writes what a push made, as the append does.
fn write_state(tx: &mut storage::Tx<'_>, new: &states::NewState) -> Result<(), Error> {
    for state in &new.states {
        tx.execute(
            "INSERT INTO states (id, room, parent, state_no, event, root, height, chain)
             VALUES ($1, 1, $2, $3, $4, $5, $6, $7)",
            params![
                state.id,
                state.parent,
                state.no,
                state.event,
                state.root,
                state.height,
                state.chain
            ],
        )?;
    }
    for node in &new.nodes {
        tx.execute(
            "INSERT INTO state_nodes (id, slots) VALUES ($1, $2)",
            params![node.id, node.encode()],
        )?;
    }
    for (state, root, height) in &new.rooted {
        tx.execute(
            "UPDATE states SET root = $2, height = $3, chain = 0 WHERE id = $1",
            params![*state, *root, *height],
        )?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn old_stream_rows_and_transactions_go_and_new_ones_stay() {
    on_both("janitor", |db| async move {
        db.write(|tx| -> Result<(), Error> {
            tx.publish(Topic::User(UserKey(1)), Kind::AccountData, 0, 0);
            Ok(())
        })
        .await
        .unwrap();
        // The clock of these tests stands in the year 1970, so what is a week old lies before it.
        db.write(|tx| -> Result<(), Error> {
            tx.execute("UPDATE stream SET at_ms = -700000000", params![])?;
            tx.publish(Topic::User(UserKey(1)), Kind::AccountData, 0, 0);
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(db.sweep().await.unwrap(), 1);
        assert_eq!(db.read(storage::janitor::stream_rows).await.unwrap(), 1);
        assert_eq!(db.sweep().await.unwrap(), 0);
    })
    .await;
}
