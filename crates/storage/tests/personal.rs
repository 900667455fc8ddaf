//! What belongs to one user, on both engines: account data, filters, profiles, receipts, typing, presence, pushers.
//! PostgreSQL is tested when `KITH_TEST_POSTGRES` names a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use storage::events::Place;
use storage::ids::intern_users;
use storage::receipts::{NewReceipt, ReceiptKind, ReceiptThread};
use storage::{
    Clock, Database, DeviceKey, Engine, Error, EventKey, Options, Position, RoomKey, UserKey,
    account_data, filters, params, presence, profiles, push_rules, pushers, receipts, typing,
    user_directory,
};

struct Frozen(AtomicU64);

impl Clock for Frozen {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A database of its own, with the users alice and bob.
struct Fresh {
    db: Database,
    alice: UserKey,
    bob: UserKey,
}

const NOW: u64 = 1_000_000;

async fn open(engine: Engine) -> Fresh {
    let options = Options {
        engine,
        server_name: "kith.example".into(),
        clock: Arc::new(Frozen(AtomicU64::new(NOW))),
        page_cache_bytes: 8 << 20,
        on_fatal: Arc::new(|why| panic!("{why}")),
    };
    let db = tokio::task::spawn_blocking(move || Database::open(options))
        .await
        .unwrap()
        .unwrap();
    let keys = db
        .write(|tx| intern_users(tx, &["@alice:kith.example", "@bob:kith.example"]))
        .await
        .unwrap();
    Fresh {
        db,
        alice: keys[0],
        bob: keys[1],
    }
}

/// Runs a test on SQLite, and on PostgreSQL where there is one.
async fn on_both<F: Future<Output = ()>>(name: &str, test: impl Fn(Fresh) -> F) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kith.db");
    test(open(Engine::Sqlite(path)).await).await;
    let Ok(url) = std::env::var("KITH_TEST_POSTGRES") else {
        eprintln!("SKIPPED on PostgreSQL: KITH_TEST_POSTGRES is not set");
        return;
    };
    let database = format!("kith_personal_{name}_{}", std::process::id());
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
    let engine = Engine::Postgres(format!("{host}/{database}?{query}"));
    test(open(engine).await).await;
    client
        .batch_execute(&format!("DROP DATABASE {database} WITH (FORCE)"))
        .await
        .unwrap();
    driving.abort();
}

const ROOM: RoomKey = RoomKey(7);

#[tokio::test(flavor = "multi_thread")]
async fn account_data_is_read_by_window_and_deletion_shows_once() {
    on_both("account_data", |Fresh { db, alice, .. }| async move {
        let start = db.head().await.unwrap().0;
        db.write(move |tx| -> Result<(), Error> {
            account_data::put(tx, alice, None, "m.direct", b"{\"a\":1}")?;
            account_data::put(tx, alice, Some(ROOM), "m.tag", b"{}")?;
            account_data::put(tx, alice, None, "m.direct", b"{\"a\":2}")
        })
        .await
        .unwrap();
        let middle = db.head().await.unwrap().0;
        let seen = db
            .read(move |snap| account_data::changed(snap, alice, start, middle))
            .await
            .unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].room, Some(ROOM));
        assert_eq!(seen[1].content, b"{\"a\":2}");
        let gone = db
            .write(move |tx| account_data::delete(tx, alice, None, "m.direct"))
            .await
            .unwrap();
        assert!(gone);
        let end = db.head().await.unwrap().0;
        let (changed, all) = db
            .read(move |snap| -> Result<_, Error> {
                Ok((
                    account_data::changed(snap, alice, middle, end)?,
                    account_data::all(snap, alice)?,
                ))
            })
            .await
            .unwrap();
        assert_eq!((changed.len(), changed[0].deleted), (1, true));
        assert_eq!((all.len(), all[0].event_type.as_str()), (1, "m.tag"));
        let again = db
            .write(move |tx| account_data::delete(tx, alice, None, "m.direct"))
            .await
            .unwrap();
        assert!(!again);
        let usage = db
            .read(move |snap| account_data::usage(snap, alice))
            .await
            .unwrap();
        assert_eq!(usage, (1, 2));
    })
    .await;
}

fn receipt(user: UserKey, kind: ReceiptKind, thread: ReceiptThread, place: i64) -> NewReceipt {
    NewReceipt {
        room: ROOM,
        user,
        kind,
        thread,
        event: EventKey(place),
        event_id: format!("${place}"),
        ts: 5,
        place: Place { place, seq: 0 },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_never_moves_backwards_and_a_private_one_is_its_owners() {
    on_both("receipts", |Fresh { db, alice, bob }| async move {
        let start = db.head().await.unwrap().0;
        let put = |receipt: NewReceipt| {
            let db = db.clone();
            async move {
                db.write(move |tx| receipts::put(tx, &receipt))
                    .await
                    .unwrap()
            }
        };
        let unthreaded = || ReceiptThread::Unthreaded;
        assert!(put(receipt(alice, ReceiptKind::Public, unthreaded(), 10)).await);
        assert!(!put(receipt(alice, ReceiptKind::Public, unthreaded(), 9)).await);
        assert!(!put(receipt(alice, ReceiptKind::Public, unthreaded(), 10)).await);
        assert!(put(receipt(alice, ReceiptKind::Private, unthreaded(), 12)).await);
        let thread = ReceiptThread::Thread("$root".into());
        assert!(put(receipt(bob, ReceiptKind::Public, thread.clone(), 3)).await);
        assert!(put(receipt(bob, ReceiptKind::Public, ReceiptThread::Main, 2)).await);
        let end = db.head().await.unwrap().0;
        let (for_alice, for_bob, own) = db
            .read(move |snap| -> Result<_, Error> {
                Ok((
                    receipts::changed(snap, alice, &[ROOM], start, end)?,
                    receipts::all_for_rooms(snap, bob, &[ROOM, RoomKey(8)])?,
                    receipts::own(snap, alice, &[ROOM])?,
                ))
            })
            .await
            .unwrap();
        assert_eq!(for_alice.len(), 4);
        assert_eq!(own.len(), 2);
        assert_eq!(for_bob.len(), 3);
        assert!(
            for_bob
                .iter()
                .all(|receipt| receipt.kind == ReceiptKind::Public)
        );
        assert_eq!(for_alice[0].event_id, "$10");
        assert_eq!(for_alice[0].user_id, "@alice:kith.example");
        assert_eq!(for_alice[2].thread, thread);
        assert_eq!(for_alice[3].thread.thread_id(), Some("main"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_ends_by_stop_and_by_time_and_each_end_is_a_change() {
    on_both("typing", |Fresh { db, alice, bob }| async move {
        db.write(move |tx| -> Result<(), Error> {
            typing::start(tx, ROOM, alice, NOW + 10)?;
            typing::start(tx, ROOM, bob, NOW + 30_000)
        })
        .await
        .unwrap();
        let head = db.head().await.unwrap();
        let (typing_now, later, next) = db
            .read(|snap| -> Result<_, Error> {
                Ok((
                    typing::in_room(snap, ROOM, NOW)?,
                    typing::in_room(snap, ROOM, NOW + 10)?,
                    typing::next_end_ms(snap)?,
                ))
            })
            .await
            .unwrap();
        assert_eq!(typing_now, ["@alice:kith.example", "@bob:kith.example"]);
        assert_eq!(later, ["@bob:kith.example"]);
        assert_eq!(next, Some(NOW + 10));
        // Typing on is no change.
        db.write(move |tx| typing::start(tx, ROOM, bob, NOW + 40_000))
            .await
            .unwrap();
        assert_eq!(db.head().await.unwrap(), head);
        db.write(move |tx| typing::end_expired(tx, NOW + 10))
            .await
            .unwrap();
        let ended = db.head().await.unwrap();
        let rooms = db
            .read(move |snap| typing::changed(snap, &[ROOM], head.0, ended.0))
            .await
            .unwrap();
        assert_eq!(rooms, [ROOM]);
        db.write(move |tx| typing::stop(tx, ROOM, bob))
            .await
            .unwrap();
        let (none, next) = db
            .read(|snap| -> Result<_, Error> {
                Ok((
                    typing::in_room(snap, ROOM, NOW)?,
                    typing::next_end_ms(snap)?,
                ))
            })
            .await
            .unwrap();
        assert_eq!((none.len(), next), (0, None));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_reaches_those_who_share_a_room_and_ends_when_unseen() {
    on_both("presence", |Fresh { db, alice, bob }| async move {
        db.write(move |tx| -> Result<(), Error> {
            presence::put(
                tx,
                alice,
                presence::PresenceState::Online,
                Some("here"),
                NOW,
                NOW,
            )
        })
        .await
        .unwrap();
        let head = db.head().await.unwrap().0;
        let seen_by_bob = |db: Database| async move {
            db.read(move |snap| presence::changed(snap, bob, 0, head))
                .await
                .unwrap()
        };
        assert!(seen_by_bob(db.clone()).await.is_empty());
        let (alice_key, bob_key) = (alice, bob);
        db.write(move |tx| -> Result<(), Error> {
            for user in [alice_key, bob_key] {
                tx.execute(
                    "INSERT INTO members (room, user_key, membership, event, position, sender, displayname, forgotten)
                     VALUES ($1, $2, 3, 1, 1, $2, $3, FALSE)",
                    params![ROOM, user, b"Al\0ice".as_slice()],
                )?;
            }
            Ok(())
        })
        .await
        .unwrap();
        let seen = seen_by_bob(db.clone()).await;
        assert_eq!((seen.len(), seen[0].status_msg.as_deref()), (1, Some("here")));
        let found = db
            .read(move |snap| user_directory::candidates(snap, bob, 10))
            .await
            .unwrap();
        assert_eq!((found.len(), found[0].shares_room), (2, true));
        db.write(move |tx| presence::end_unseen(tx, NOW))
            .await
            .unwrap();
        assert_eq!(db.head().await.unwrap().0, head);
        db.write(move |tx| presence::end_unseen(tx, NOW + 1))
            .await
            .unwrap();
        let now = db
            .read(move |snap| presence::get(snap, alice))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(now.state, presence::PresenceState::Offline);
        let longest = db.read(presence::longest_unseen_ms).await.unwrap();
        assert_eq!(longest, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_profiles_pushers_and_push_rules_are_kept() {
    on_both("kept", |Fresh { db, alice, bob }| async move {
        let ids = db
            .write(move |tx| -> Result<_, Error> {
                Ok([
                    filters::put(tx, alice, b"{}", 2)?,
                    filters::put(tx, alice, b"{\"room\":{}}", 2)?,
                    filters::put(tx, alice, b"{}", 2)?,
                    filters::put(tx, alice, b"{\"a\":{}}", 2)?,
                ])
            })
            .await
            .unwrap();
        assert_eq!(ids, [Some(1), Some(2), Some(1), None]);
        let filter = db
            .read(move |snap| filters::get(snap, alice, 2))
            .await
            .unwrap();
        assert_eq!(filter.as_deref(), Some(&b"{\"room\":{}}"[..]));

        db.write(move |tx| -> Result<(), Error> {
            profiles::put(tx, alice, "displayname", b"\"Al\"")?;
            profiles::put(tx, alice, "m.tz", b"\"Europe/Rome\"")?;
            profiles::delete(tx, alice, "m.tz").map(drop)
        })
        .await
        .unwrap();
        let profile = db
            .read(move |snap| profiles::get(snap, alice))
            .await
            .unwrap();
        assert_eq!(profile.len(), 1);
        assert_eq!(profile["displayname"], b"\"Al\"");

        let pusher = pushers::Pusher {
            app_id: "app".into(),
            pushkey: "key".into(),
            device: DeviceKey(4),
            body: b"{}".to_vec(),
        };
        let kept = pusher.clone();
        db.write(move |tx| -> Result<(), Error> {
            pushers::put(tx, bob, &kept)?;
            pushers::put(tx, alice, &kept)?;
            pushers::delete_of_others(tx, alice, "app", "key")
        })
        .await
        .unwrap();
        let (alices, bobs) = db
            .read(move |snap| -> Result<_, Error> {
                Ok((pushers::of_user(snap, alice)?, pushers::of_user(snap, bob)?))
            })
            .await
            .unwrap();
        assert_eq!((alices, bobs), (vec![pusher], vec![]));

        db.write(move |tx| push_rules::put(tx, alice, b"{\"global\":{}}"))
            .await
            .unwrap();
        let changed = db
            .read(move |snap| push_rules::changed(snap, Position(0)))
            .await
            .unwrap();
        assert_eq!((changed.len(), changed[0].1), (1, alice));
        let after = changed[0].0;
        let none = db
            .read(move |snap| push_rules::changed(snap, after))
            .await
            .unwrap();
        assert!(none.is_empty());
    })
    .await;
}
