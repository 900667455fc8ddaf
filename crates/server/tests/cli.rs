//! `kith token` and `kith user` as a host uses them: while the server runs and while it does not.

#[path = "running/kith.rs"]
#[allow(dead_code, reason = "each test file uses a part of it")]
mod kith;

use std::process::Output;

use kith::Kith;

/// What a verb printed; it must have succeeded.
fn printed(output: Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Why a verb refused; it must have.
fn refused(output: Output) -> String {
    assert!(
        !output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

/// The path of a link below the server's address.
fn path(kith: &Kith, link: &str) -> String {
    link.trim()
        .strip_prefix(&kith.address)
        .expect("a link to this server")
        .to_owned()
}

#[test]
fn the_first_start_prints_an_invitation_for_the_administrator_and_no_later_one_does() {
    let directory = tempfile::tempdir().unwrap();
    let kith = Kith::start(directory.path(), &[]);
    let address = kith.address.clone();
    let (_, first) = kith.stop();
    assert!(
        first.contains(&format!("{address}/register?token=")),
        "{first}"
    );
    let (_, second) = Kith::start(directory.path(), &[]).stop();
    assert!(!second.contains("/register?token="), "{second}");
}

#[test]
fn a_new_token_is_a_link_that_opens_the_registration_page() {
    let directory = tempfile::tempdir().unwrap();
    let kith = Kith::start(directory.path(), &[]);
    let link = printed(kith.verb(&["token", "new", "--uses", "1", "--expires", "7d"]));
    let (status, page) = kith.get(&path(&kith, &link));
    assert_eq!(status, 200);
    assert!(
        page.contains("Create my account") && !page.contains("administrator"),
        "{page}"
    );
    let (_, page) = kith.get(&path(
        &kith,
        &printed(kith.verb(&["token", "new", "--admin"])),
    ));
    assert!(page.contains("You will be the administrator"), "{page}");
    let (_, page) = kith.get(&path(
        &kith,
        &printed(kith.verb(&["token", "new", "--username", "grace"])),
    ));
    assert!(page.contains("value=\"grace\""), "{page}");
}

#[test]
fn tokens_are_listed_and_revoked() {
    let directory = tempfile::tempdir().unwrap();
    let kith = Kith::start(directory.path(), &[]);
    let link = printed(kith.verb(&["token", "new", "--uses", "3", "--expires", "2w"]));
    let list = printed(kith.verb(&["token", "list"]));
    assert!(list.contains("0 of 3") && list.contains("days"), "{list}");
    let token = link.trim().split_once("token=").unwrap().1;
    assert!(!list.contains(token), "a list gives no invitation away");
    printed(kith.verb(&["token", "revoke", link.trim()]));
    assert!(printed(kith.verb(&["token", "list"])).contains("revoked"));
    assert_eq!(kith.get(&path(&kith, &link)).0, 410);
    let refusal = refused(kith.verb(&["token", "revoke", "nonsense"]));
    assert!(refusal.contains("kith token list"), "{refusal}");
}

#[test]
fn verbs_work_on_the_database_while_the_server_is_stopped() {
    let directory = tempfile::tempdir().unwrap();
    Kith::start(directory.path(), &[]).stop();
    let verb = |arguments: &[&str]| {
        Kith::command(arguments)
            .current_dir(directory.path())
            .output()
            .unwrap()
    };
    let link = printed(verb(&["token", "new"]));
    assert!(
        link.starts_with("http://127.0.0.1:8008/register?token="),
        "{link}"
    );
    assert!(printed(verb(&["token", "list"])).contains("anybody"));
    assert!(printed(verb(&["user", "list"])).contains("no accounts"));
    let kith = Kith::start(directory.path(), &[]);
    assert_eq!(
        kith.get(link.trim().strip_prefix("http://127.0.0.1:8008").unwrap())
            .0,
        200
    );
}

#[test]
fn verbs_say_clearly_when_there_is_no_server() {
    let directory = tempfile::tempdir().unwrap();
    let output = Kith::command(&["token", "new"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let refusal = refused(output);
    assert!(
        refusal.contains("there is no Kith in") && refusal.contains("KITH_DATA_DIR"),
        "{refusal}"
    );
    assert!(
        !directory.path().join("kith-data").exists(),
        "asking makes nothing"
    );
}

#[test]
fn a_crashed_server_leaves_nothing_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let kith = Kith::start(directory.path(), &[]);
    kith.signal("KILL");
    kith.wait();
    let verb = Kith::command(&["token", "new"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    printed(verb);
    let kith = Kith::start(directory.path(), &[]);
    printed(kith.verb(&["token", "new"]));
}

#[test]
fn a_data_directory_with_a_long_name_has_a_socket_too() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("a".repeat(100));
    let kith = Kith::start(
        directory.path(),
        &[("KITH_DATA_DIR", data.to_str().unwrap())],
    );
    printed(kith.verb(&["token", "new"]));
}
#[test]
fn people_are_listed_promoted_helped_and_deactivated() {
    let directory = tempfile::tempdir().unwrap();
    let kith = Kith::start(
        directory.path(),
        &[("KITH_REGISTRATION__SHARED_SECRET", "hush")],
    );
    let page = kith.register(
        &printed(kith.verb(&["token", "new", "--username", "ada"])),
        "teapot river anvil",
    );
    assert_eq!(page, 303);
    let list = printed(kith.verb(&["user", "list"]));
    assert!(list.contains("@ada:localhost"), "{list}");
    printed(kith.verb(&["user", "make-admin", "ada"]));
    assert!(printed(kith.verb(&["user", "list"])).contains("administrator"));
    let link = printed(kith.verb(&["user", "reset-link", "@ada:localhost"]));
    let (status, page) = kith.get(&path(&kith, &link));
    assert_eq!(status, 200);
    assert!(page.contains("@ada:localhost"), "{page}");
    printed(kith.verb(&["user", "deactivate", "ada"]));
    assert!(printed(kith.verb(&["user", "list"])).contains("deactivated"));
    let refusal = refused(kith.verb(&["user", "make-admin", "nobody"]));
    assert!(refusal.contains("kith user list"), "{refusal}");
}
