//! Keys, device lists, messages to devices and key backups, on both engines. PostgreSQL is tested when
//! `KITH_TEST_POSTGRES` names a server.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use storage::cross_signing::{self, CrossSigningKey, KeyKind, KeySignature};
use storage::ids::intern_users;
use storage::key_backup::{self, PutError, Range, Rank, Session};
use storage::one_time_keys::{self, AddError, NewKey, ONE_TIME_KEYS_MAX};
use storage::to_device::{self, NewMessage};
use storage::{
    Clock, Database, DeviceKey, Engine, Error, Kind, Options, Position, RoomKey, Topic, UserKey,
    device_keys, device_lists, params, row,
};

struct Frozen;

impl Clock for Frozen {
    fn now_ms(&self) -> u64 {
        1_000_000
    }
}

/// A database of its own, with the users alice, bob and carol.
#[derive(Clone)]
struct Fresh {
    db: Database,
    alice: UserKey,
    bob: UserKey,
    carol: UserKey,
}

async fn open(engine: Engine) -> Fresh {
    let options = Options {
        engine,
        server_name: "kith.example".into(),
        clock: Arc::new(Frozen),
        page_cache_bytes: 8 << 20,
        on_fatal: Arc::new(|why| panic!("{why}")),
    };
    let db = tokio::task::spawn_blocking(move || Database::open(options))
        .await
        .unwrap()
        .unwrap();
    let names = [
        "@alice:kith.example",
        "@bob:kith.example",
        "@carol:kith.example",
    ];
    let keys = db.write(move |tx| intern_users(tx, &names)).await.unwrap();
    let [alice, bob, carol] = keys[..] else {
        unreachable!()
    };
    Fresh {
        db,
        alice,
        bob,
        carol,
    }
}

/// Runs a test on SQLite, and on PostgreSQL where there is one.
async fn on_both<F: Future<Output = ()>>(name: &str, test: impl Fn(Fresh) -> F) {
    let dir = tempfile::tempdir().unwrap();
    test(open(Engine::Sqlite(dir.path().join("kith.db"))).await).await;
    let Ok(url) = std::env::var("KITH_TEST_POSTGRES") else {
        eprintln!("SKIPPED on PostgreSQL: KITH_TEST_POSTGRES is not set");
        return;
    };
    let database = format!("kith_encryption_{name}_{}", std::process::id());
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

fn key(algorithm: &str, number: usize) -> NewKey {
    NewKey {
        algorithm: algorithm.into(),
        key_id: format!("K{number:05}"),
        body: format!("\"key {number}\"").into_bytes(),
    }
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a == b
}

const DEVICE: DeviceKey = DeviceKey(7);

impl Fresh {
    async fn add(&self, device: DeviceKey, keys: Vec<NewKey>) -> Result<(), AddError> {
        let alice = self.alice;
        self.db
            .write(move |tx| one_time_keys::add(tx, alice, device, &keys, same))
            .await
    }

    async fn set_fallback(&self, keys: Vec<NewKey>) -> Result<(), AddError> {
        let alice = self.alice;
        self.db
            .write(move |tx| one_time_keys::set_fallback(tx, alice, DEVICE, &keys, same))
            .await
    }

    async fn claim(&self, device: DeviceKey) -> Option<String> {
        let alice = self.alice;
        let mut claimed = self
            .db
            .write(move |tx| one_time_keys::claim(tx, "signed_curve25519", &[(alice, device)]))
            .await
            .unwrap();
        claimed.remove(&device).map(|key| key.key_id)
    }

    async fn counts(&self) -> (BTreeMap<String, u64>, Vec<String>, Position) {
        self.db
            .read(|snap| -> Result<_, Error> {
                Ok((
                    one_time_keys::counts(snap, DEVICE)?,
                    one_time_keys::unused_fallback(snap, DEVICE)?,
                    one_time_keys::counts_changed(snap, DEVICE)?,
                ))
            })
            .await
            .unwrap()
    }

    /// As the append of a member event does.
    async fn set_membership(&self, user: UserKey, room: i64, membership: i64) {
        self.db
            .write(move |tx| -> Result<(), Error> {
                tx.publish_with(
                    Topic::User(user),
                    Kind::Membership,
                    room,
                    membership,
                    move |snap, position| {
                        snap.write(
                            "INSERT INTO members (room, user_key, membership, event, position, sender, forgotten, began)
                             VALUES ($1, $2, $3, 0, $4, $2, FALSE, $4)
                             ON CONFLICT (room, user_key) DO UPDATE SET membership = excluded.membership,
                             began = CASE WHEN members.membership = excluded.membership THEN members.began ELSE excluded.began END,
                             position = excluded.position",
                            params![RoomKey(room), user, membership, position],
                        )
                        .map(drop)
                    },
                );
                Ok(())
            })
            .await
            .unwrap();
    }

    async fn change_keys(&self, user: UserKey) {
        self.db
            .write(move |tx| -> Result<(), Error> {
                device_lists::publish_change(tx, user);
                Ok(())
            })
            .await
            .unwrap();
    }

    async fn head(&self) -> Position {
        self.db.head().await.unwrap()
    }

    /// Checks whose list changed, and who left, for a viewer since a position.
    async fn check_lists(
        &self,
        viewer: UserKey,
        since: Position,
        changed: &[UserKey],
        left: &[UserKey],
    ) {
        let seen = self
            .db
            .read(move |snap| -> Result<_, Error> {
                Ok((
                    device_lists::changed_users(snap, viewer, since)?,
                    device_lists::left_users(snap, viewer, since)?,
                ))
            })
            .await
            .unwrap();
        let set = |users: &[UserKey]| users.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(seen, (set(changed), set(left)));
    }
}

const JOIN: i64 = 3;
const LEAVE: i64 = 0;
const INVITE: i64 = 1;

#[tokio::test(flavor = "multi_thread")]
async fn one_time_keys_are_given_out_oldest_first_then_the_fallback() {
    on_both("claim", |fresh| async move {
        fresh
            .add(DEVICE, vec![key("signed_curve25519", 9)])
            .await
            .unwrap();
        fresh
            .add(DEVICE, vec![key("signed_curve25519", 1)])
            .await
            .unwrap();
        fresh
            .set_fallback(vec![key("signed_curve25519", 77)])
            .await
            .unwrap();
        let (counts, unused, before) = fresh.counts().await;
        assert_eq!(counts["signed_curve25519"], 2);
        assert_eq!(unused, ["signed_curve25519"]);
        assert_eq!(fresh.claim(DEVICE).await.as_deref(), Some("K00009"));
        assert_eq!(fresh.claim(DEVICE).await.as_deref(), Some("K00001"));
        assert_eq!(fresh.claim(DEVICE).await.as_deref(), Some("K00077"));
        assert_eq!(fresh.claim(DEVICE).await.as_deref(), Some("K00077"));
        let (counts, unused, after) = fresh.counts().await;
        assert_eq!(counts["signed_curve25519"], 0);
        assert!(unused.is_empty());
        assert!(after > before);
        // The same fallback key again stays used, another one is unused.
        fresh
            .set_fallback(vec![key("signed_curve25519", 77)])
            .await
            .unwrap();
        assert!(fresh.counts().await.1.is_empty());
        fresh
            .set_fallback(vec![key("signed_curve25519", 78)])
            .await
            .unwrap();
        assert_eq!(fresh.counts().await.1, ["signed_curve25519"]);
        assert_eq!(fresh.claim(DeviceKey(8)).await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_given_out_does_not_come_back_by_a_repeated_upload() {
    on_both("repeat", |fresh| async move {
        let keys = vec![key("signed_curve25519", 1), key("signed_curve25519", 2)];
        fresh.add(DEVICE, keys.clone()).await.unwrap();
        assert_eq!(fresh.claim(DEVICE).await.as_deref(), Some("K00001"));
        fresh.add(DEVICE, keys).await.unwrap();
        assert_eq!(fresh.claim(DEVICE).await.as_deref(), Some("K00002"));
        assert_eq!(fresh.claim(DEVICE).await, None);
        // The memory of it ends.
        let gone = fresh
            .db
            .write(|tx| one_time_keys::forget_claimed(tx, 3_000_000_000, 10))
            .await
            .unwrap();
        assert_eq!(gone, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_of_the_same_id_is_refused_and_nothing_of_the_upload_stays() {
    on_both("conflict", |fresh| async move {
        fresh.add(DEVICE, vec![key("a", 1)]).await.unwrap();
        let mut other = key("a", 1);
        other.body = b"\"other\"".to_vec();
        let refused = fresh.add(DEVICE, vec![key("a", 2), other.clone()]).await;
        assert!(matches!(refused, Err(AddError::Conflict { key_id, .. }) if key_id == "K00001"));
        assert_eq!(fresh.counts().await.0["a"], 1);
        // Another algorithm is another key.
        other.algorithm = "b".into();
        fresh.add(DEVICE, vec![other]).await.unwrap();
        let many = (10..10 + ONE_TIME_KEYS_MAX)
            .map(|number| key("c", number))
            .collect();
        assert!(matches!(
            fresh.add(DEVICE, many).await,
            Err(AddError::TooMany)
        ));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_claimers_at_once_never_get_one_key_twice() {
    on_both("fifty", |fresh| async move {
        let devices: Vec<_> = (100..110).map(DeviceKey).collect();
        for device in &devices {
            let keys = (0..30)
                .map(|number| key("signed_curve25519", number))
                .collect();
            fresh.add(*device, keys).await.unwrap();
        }
        let alice = fresh.alice;
        let claims = (0..50).map(|_| {
            let (db, wanted) = (fresh.db.clone(), devices.clone());
            tokio::task::spawn(async move {
                let wanted: Vec<_> = wanted.into_iter().map(|device| (alice, device)).collect();
                db.write(move |tx| one_time_keys::claim(tx, "signed_curve25519", &wanted))
                    .await
                    .unwrap()
            })
        });
        let mut seen = HashSet::new();
        for claim in claims.collect::<Vec<_>>() {
            for (device, key) in claim.await.unwrap() {
                assert!(
                    seen.insert((device, key.key_id)),
                    "a key was given out twice"
                );
            }
        }
        assert_eq!(seen.len(), 10 * 30);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn device_lists_tell_who_changed_who_came_and_who_went() {
    on_both("lists", |fresh| async move {
        let Fresh {
            alice, bob, carol, ..
        } = fresh;
        let mut since = fresh.head().await;
        // Nothing shared: only the own change.
        fresh.change_keys(alice).await;
        fresh.change_keys(bob).await;
        fresh.check_lists(alice, since, &[alice], &[]).await;
        // Bob comes: both learn of each other.
        fresh.set_membership(alice, 1, JOIN).await;
        since = fresh.head().await;
        fresh.set_membership(bob, 1, JOIN).await;
        fresh.check_lists(alice, since, &[bob], &[]).await;
        fresh.check_lists(bob, since, &[alice, bob], &[]).await;
        // A changed name is no news.
        since = fresh.head().await;
        fresh.set_membership(bob, 1, JOIN).await;
        fresh.check_lists(alice, since, &[], &[]).await;
        fresh.check_lists(bob, since, &[], &[]).await;
        // A change is told, also where the window ends before it was repeated.
        fresh.change_keys(bob).await;
        fresh.change_keys(bob).await;
        fresh.check_lists(alice, since, &[bob], &[]).await;
        fresh.check_lists(carol, since, &[], &[]).await;
        // An invited user may read what is sent from now on.
        since = fresh.head().await;
        fresh.set_membership(carol, 1, INVITE).await;
        fresh.check_lists(alice, since, &[carol], &[]).await;
        fresh.check_lists(carol, since, &[], &[]).await;
        // Bob shares a second room with Alice, so that leaving the first is no farewell.
        fresh.set_membership(alice, 2, JOIN).await;
        fresh.set_membership(bob, 2, JOIN).await;
        since = fresh.head().await;
        fresh.set_membership(bob, 1, LEAVE).await;
        fresh.check_lists(alice, since, &[], &[]).await;
        fresh.check_lists(bob, since, &[], &[carol]).await;
        since = fresh.head().await;
        fresh.set_membership(alice, 2, LEAVE).await;
        fresh.check_lists(alice, since, &[], &[bob]).await;
        fresh.check_lists(bob, since, &[], &[alice]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_on_others_keys_are_seen_by_the_signer_alone() {
    on_both("signatures", |fresh| async move {
        let Fresh {
            alice, bob, carol, ..
        } = fresh;
        let master = |user: &str| CrossSigningKey {
            kind: KeyKind::Master,
            public_key: format!("{user}-master"),
            body: b"{}".to_vec(),
        };
        for (user, name) in [(alice, "alice"), (bob, "bob"), (carol, "carol")] {
            let key = master(name);
            fresh
                .db
                .write(move |tx| cross_signing::replace_keys(tx, user, &[], &[key.clone()]))
                .await
                .unwrap();
        }
        for (user, room) in [(alice, 1), (bob, 1), (carol, 1)] {
            fresh.set_membership(user, room, JOIN).await;
        }
        let since = fresh.head().await;
        let signature = |target_user, target: &str, key_id: &str| KeySignature {
            target_user,
            target: target.into(),
            signer: alice,
            key_id: key_id.into(),
            signature: "c2ln".into(),
        };
        let others = [
            signature(bob, "bob-master", "ed25519:alice-user"),
            signature(carol, "carol-master", "ed25519:alice-user"),
        ];
        fresh
            .db
            .write(move |tx| cross_signing::add_signatures(tx, alice, &others))
            .await
            .unwrap();
        fresh.check_lists(alice, since, &[bob, carol], &[]).await;
        fresh.check_lists(bob, since, &[], &[]).await;
        let seen_by = async |viewer| {
            fresh
                .db
                .read(move |snap| {
                    cross_signing::signatures_on(snap, &[alice, bob, carol], Some(viewer))
                })
                .await
                .unwrap()
                .len()
        };
        assert_eq!((seen_by(alice).await, seen_by(bob).await), (2, 0));
        let own = [signature(alice, "ALICEDEVICE", "ed25519:alice-self")];
        fresh
            .db
            .write(move |tx| cross_signing::add_signatures(tx, alice, &own))
            .await
            .unwrap();
        assert_eq!((seen_by(alice).await, seen_by(bob).await), (3, 1));
        fresh.check_lists(bob, since, &[alice], &[]).await;
        // A key that goes takes the signatures by it and on it along.
        let gone = ["alice-user", "alice-self"].map(|name| CrossSigningKey {
            kind: KeyKind::UserSigning,
            public_key: name.into(),
            body: Vec::new(),
        });
        fresh
            .db
            .write(move |tx| cross_signing::replace_keys(tx, alice, &gone, &[]))
            .await
            .unwrap();
        assert_eq!(seen_by(alice).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_in_order_and_go_when_acknowledged() {
    on_both("to_device", |fresh| async move {
        let (db, alice) = (fresh.db.clone(), fresh.alice);
        for body in ["one", "two", "three"] {
            db.write(move |tx| {
                let to = [DEVICE, DeviceKey(8)].map(|device| NewMessage {
                    user: alice,
                    device,
                    body: body.into(),
                });
                to_device::send(tx, to.into())
            })
            .await
            .unwrap();
        }
        let all = Position(i64::MAX);
        let read = async |device, after, limit| {
            fresh
                .db
                .read(move |snap| to_device::messages(snap, device, after, all, limit))
                .await
                .unwrap()
        };
        let first = read(DEVICE, Position(0), 2).await;
        assert_eq!(
            first
                .iter()
                .map(|message| &*message.body)
                .collect::<Vec<_>>(),
            [b"one", b"two"]
        );
        let gone = db
            .write(move |tx| to_device::delete_up_to(tx, DEVICE, first[1].position))
            .await
            .unwrap();
        assert_eq!(gone, 2);
        assert_eq!(read(DEVICE, Position(0), 9).await.len(), 1);
        assert_eq!(read(DeviceKey(8), Position(0), 9).await.len(), 3);
        // A full queue takes no more, and the others' messages arrive.
        db.write(|tx| {
            let rows: Vec<_> = (1..=to_device::WAITING_MAX)
                .map(|number| row![9, -(number as i64), b"x".to_vec()])
                .collect();
            tx.execute_many(
                "INSERT INTO to_device (device, position, body) VALUES ($1, $2, $3)",
                &rows,
            )
        })
        .await
        .unwrap();
        let full = db
            .write(move |tx| {
                let to = [DeviceKey(9), DeviceKey(8)].map(|device| NewMessage {
                    user: alice,
                    device,
                    body: b"four".to_vec(),
                });
                to_device::send(tx, to.into())
            })
            .await
            .unwrap();
        assert_eq!(full, [DeviceKey(9)]);
        assert_eq!(read(DeviceKey(8), Position(0), 9).await.len(), 4);
        let contents = BTreeMap::from([("a.example".to_owned(), b"{}".to_vec())]);
        db.write(move |tx| to_device::leave_for_servers(tx, "m.direct_to_device", &contents))
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_goes_takes_its_keys_and_messages_along() {
    on_both("forget", |fresh| async move {
        let (db, alice) = (fresh.db.clone(), fresh.alice);
        fresh.add(DEVICE, vec![key("a", 1)]).await.unwrap();
        fresh.set_fallback(vec![key("a", 1)]).await.unwrap();
        db.write(move |tx| -> Result<(), Error> {
            device_keys::put(tx, alice, DEVICE, "DEVICE", b"{}", false)?;
            let body = b"hello".to_vec();
            to_device::send(
                tx,
                vec![NewMessage {
                    user: alice,
                    device: DEVICE,
                    body,
                }],
            )?;
            Ok(())
        })
        .await
        .unwrap();
        let since = fresh.head().await;
        db.write(move |tx| device_keys::forget_devices(tx, alice, &[DEVICE]))
            .await
            .unwrap();
        fresh.check_lists(alice, since, &[alice], &[]).await;
        let (counts, unused, _) = fresh.counts().await;
        assert_eq!(counts.get("a"), None);
        assert!(unused.is_empty());
        let left = db
            .read(|snap| {
                snap.query(
                    "SELECT (SELECT COUNT(*) FROM device_keys) + (SELECT COUNT(*) FROM to_device)
                          + (SELECT COUNT(*) FROM key_counts)",
                    params![],
                )
            })
            .await
            .unwrap();
        assert_eq!(left[0].int(0), 0);
    })
    .await;
}

fn session(room: &str, id: &str, first_message_index: i64) -> Session {
    Session {
        room_id: room.into(),
        session_id: id.into(),
        rank: Rank {
            first_message_index,
            forwarded_count: 0,
            is_verified: false,
        },
        session_data: b"{}".to_vec(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_counts_its_sessions_and_changes_its_etag_only_with_them() {
    on_both("backup", |fresh| async move {
        let (db, alice) = (fresh.db.clone(), fresh.alice);
        let put = async |version, sessions: Vec<Session>| {
            fresh
                .db
                .write(move |tx| {
                    key_backup::put(tx, alice, version, &sessions, |new, old| {
                        new.first_message_index < old.first_message_index
                    })
                })
                .await
                .map(|backup| (backup.etag, backup.sessions))
        };
        assert!(matches!(put(1, vec![]).await, Err(PutError::NotFound)));
        let create = async || {
            fresh
                .db
                .write(move |tx| key_backup::create(tx, alice, "m.test", b"{}"))
                .await
                .unwrap()
        };
        assert_eq!(create().await, 1);
        let sessions = vec![
            session("!a", "1", 5),
            session("!b", "1", 5),
            session("!b", "2", 5),
        ];
        assert_eq!(put(1, sessions.clone()).await.unwrap(), (1, 3));
        assert_eq!(put(1, sessions).await.unwrap(), (1, 3));
        assert_eq!(put(1, vec![session("!a", "1", 4)]).await.unwrap(), (2, 3));
        let read = async |range: Range| {
            fresh
                .db
                .read(move |snap| -> Result<_, Error> {
                    let backup = key_backup::version(snap, alice, 1)?.unwrap();
                    key_backup::sessions(snap, &backup, &range, ("", ""), 100)
                })
                .await
                .unwrap()
                .len()
        };
        let one = Range::Session("!b".into(), "2".into());
        let room = Range::Room("!b".into());
        assert_eq!(
            (
                read(Range::All).await,
                read(room.clone()).await,
                read(one.clone()).await
            ),
            (3, 2, 1)
        );
        let delete = async |range: Range| {
            let after = fresh
                .db
                .write(move |tx| key_backup::delete_sessions(tx, alice, 1, &range))
                .await
                .unwrap()
                .unwrap();
            (after.etag, after.sessions)
        };
        assert_eq!(delete(one.clone()).await, (3, 2));
        assert_eq!(delete(one).await, (3, 2));
        assert_eq!(delete(room).await, (4, 1));
        assert_eq!(delete(Range::All).await, (5, 0));
        assert_eq!(read(Range::All).await, 0);
        assert_eq!(create().await, 2);
        let wrong = put(1, vec![session("!a", "1", 5)]).await;
        assert!(matches!(wrong, Err(PutError::WrongVersion { current: 2 })));
        for (version, there) in [(2, true), (2, false), (9, false)] {
            let gone = db
                .write(move |tx| key_backup::delete(tx, alice, version))
                .await
                .unwrap();
            assert_eq!(gone, there, "version {version}");
        }
        // A number is never used again.
        assert_eq!(create().await, 3);
        while db.write(|tx| key_backup::sweep(tx, 1)).await.unwrap() > 0 {}
        let left = db
            .read(|snap| snap.query("SELECT COUNT(*) FROM key_backup_sessions", params![]))
            .await
            .unwrap();
        assert_eq!(left[0].int(0), 0);
    })
    .await;
}
