//! The settings as an operator meets them: the generated page, and how the binary refuses what is wrong.

#[path = "running/kith.rs"]
#[allow(dead_code, reason = "each test file uses a part of it")]
mod kith;

use kith::Kith;

#[test]
fn the_settings_page_is_up_to_date() {
    let page = Kith::command(&["settings"]).output().unwrap();
    assert!(page.status.success());
    let kept = include_str!("../../../docs/settings.md");
    assert_eq!(
        String::from_utf8_lossy(&page.stdout),
        kept,
        "docs/settings.md is stale: run `cargo xtask docs`"
    );
}

#[test]
fn a_misspelt_variable_stops_the_start_and_names_the_right_one() {
    let refusal = refusal(Kith::command(&["serve"]).env("KITH_REGISTRATION__MOOD", "open"));
    assert!(
        refusal.contains("did you mean `KITH_REGISTRATION__MODE`?"),
        "{refusal}"
    );
}

#[test]
fn a_misspelt_key_in_the_file_stops_the_start_and_names_the_right_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kith.toml");
    std::fs::write(&file, "sever_name = 'example.org'\n").unwrap();
    let refusal = refusal(
        Kith::command(&["serve", "--config", file.to_str().unwrap()]).current_dir(directory.path()),
    );
    assert!(refusal.contains("did you mean `server_name`?"), "{refusal}");
    assert!(
        !directory.path().join("kith-data").exists(),
        "nothing is made before the settings are right"
    );
}

#[test]
fn a_settings_file_that_is_not_there_is_named() {
    let refusal = refusal(Kith::command(&["serve"]).env("KITH_CONFIG", "/nowhere/kith.toml"));
    assert!(refusal.contains("/nowhere/kith.toml"), "{refusal}");
}

/// Runs a command that must fail, and gives what it says.
fn refusal(command: &mut std::process::Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "it must refuse");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
