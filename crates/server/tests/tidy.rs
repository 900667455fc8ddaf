//! What the design says and Cargo cannot check: who may use whom, who may name what, how files are called, how long
//! they grow. Each claim is a test; a failure names the file and the reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The house, by its floors: a crate may use only crates of a lower number. `view` turns what storage holds into what
/// clients see, for `sync` and `homeserver` alike.
const FLOORS: &[(&str, u32)] = &[
    ("room", 10),
    ("storage", 20),
    ("view", 25),
    ("federation", 30),
    ("sync", 40),
    ("homeserver", 50),
    ("delivery", 60),
    ("api", 70),
    ("web", 80),
    ("server", 90),
];

/// Beside the house: tools and tests, which may use everything.
const BESIDE: &[&str] = &["testkit", "bench", "xtask"];

/// These stand side by side and never use each other.
const STRANGERS: &[&str] = &["sync", "homeserver", "delivery"];

#[test]
fn crates_use_only_what_stands_below_them() {
    let mut problems = Vec::new();
    for (name, manifest) in manifests() {
        if BESIDE.contains(&name.as_str()) {
            continue;
        }
        let Some(floor) = floor_of(&name) else {
            problems.push(format!("{name} has no place in the order of crates (FLOORS in this test, and ARCHITECTURE.md)"));
            continue;
        };
        for used in dependencies(&manifest) {
            if BESIDE.contains(&used.as_str()) {
                problems.push(format!(
                    "{name} uses {used}, which is for tests and tools alone"
                ));
            } else if floor_of(&used).is_some_and(|below| below >= floor) {
                problems.push(format!("{name} uses {used}, which does not stand below it"));
            } else if STRANGERS.contains(&name.as_str()) && STRANGERS.contains(&used.as_str()) {
                problems.push(format!(
                    "{name} uses {used}: these two never use each other"
                ));
            }
        }
    }
    none(&problems);
}

#[test]
fn only_storage_names_a_database_library() {
    const LIBRARIES: &[&str] = &[
        "rusqlite",
        "libsqlite3-sys",
        "tokio-postgres",
        "postgres",
        "sqlx",
        "diesel",
        "rocksdb",
    ];
    let mut problems = Vec::new();
    for (name, manifest) in manifests() {
        for used in dependencies(&manifest) {
            if name != "storage" && LIBRARIES.contains(&used.as_str()) {
                problems.push(format!("{name} depends on {used}"));
            }
        }
    }
    // Inside of storage, only the engines' own files name them.
    for source in sources("crates/storage/src") {
        let relative = relative(&source);
        let engine = ["sqlite", "postgres"].iter().any(|engine| {
            relative == format!("crates/storage/src/{engine}.rs")
                || relative.starts_with(&format!("crates/storage/src/{engine}/"))
        });
        let text = code_of(&source);
        for library in ["rusqlite::", "tokio_postgres::"] {
            if !engine && text.contains(library) {
                problems.push(format!(
                    "{relative} names {library}; that belongs to the engine's own file"
                ));
            }
        }
    }
    none(&problems);
}

/// Modules of `homeserver` in their order (DESIGN: "Modules inside `homeserver` are ordered too"): one may use those
/// of a lower number, and those of its own.
const MODULES: &[(&str, u32)] = &[
    ("accounts", 1),
    ("account_data", 1),
    ("receipts", 1),
    ("typing", 1),
    ("presence", 1),
    ("encryption", 1),
    ("media", 1),
    ("rooms", 2),
    ("profile", 3),
    ("deactivation", 3),
    ("moderation", 3),
    ("appservices", 3),
    ("jobs", 4),
];

#[test]
fn modules_of_homeserver_use_only_what_comes_before_them() {
    let number_of = |module: &str| {
        MODULES
            .iter()
            .find(|(name, _)| *name == module)
            .map(|(_, number)| *number)
    };
    let mut problems = Vec::new();
    for source in sources("crates/homeserver/src") {
        let relative = relative(&source);
        let inside = relative.trim_start_matches("crates/homeserver/src/");
        let module = inside
            .split(['/', '.'])
            .next()
            .unwrap_or_default()
            .to_owned();
        let Some(own) = number_of(&module) else {
            continue;
        };
        let text = code_of(&source);
        for (used, number) in MODULES {
            if *number > own && text.contains(&format!("crate::{used}::")) {
                problems.push(format!(
                    "{relative} uses crate::{used}, which comes after {module}"
                ));
            }
        }
    }
    none(&problems);
}

#[test]
fn clock_and_randomness_are_given_and_tasks_are_owned() {
    const FORBIDDEN: &[(&str, &str)] = &[
        ("SystemTime::now", "take a storage::Clock"),
        ("Instant::now", "take a storage::Clock"),
        ("thread_rng", "take a storage::Random"),
        ("rand::", "take a storage::Random"),
        ("OsRng", "take a storage::Random"),
        ("getrandom", "take a storage::Random"),
        (
            "tokio::spawn(",
            "spawn on a JoinSet that somebody waits for",
        ),
        (
            "env::var",
            "settings are read in crates/server/src/settings alone",
        ),
    ];
    let mut problems = Vec::new();
    for (name, _) in FLOORS.iter().filter(|(name, _)| *name != "server") {
        for source in sources(&format!("crates/{name}/src"))
            .iter()
            .filter(|source| !is_test(source))
        {
            let text = code_of(source);
            for (number, line) in text.lines().enumerate() {
                for (forbidden, instead) in FORBIDDEN {
                    if line.contains(forbidden) {
                        problems.push(format!(
                            "{}:{}: {forbidden}: {instead}",
                            relative(source),
                            number + 1
                        ));
                    }
                }
            }
        }
    }
    none(&problems);
}

#[test]
fn the_map_names_every_crate() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let missing: Vec<String> = manifests()
        .into_keys()
        .filter(|name| !map.contains(&format!("`{name}`")))
        .map(|name| format!("ARCHITECTURE.md does not name the crate `{name}`"))
        .collect();
    none(&missing);
}

#[test]
fn files_are_named_by_what_they_do() {
    const SAYS_NOTHING: &[&str] = &[
        "utils", "util", "common", "helpers", "helper", "manager", "misc", "mod",
    ];
    let problems: Vec<String> = all_sources()
        .iter()
        .filter(|source| {
            source
                .file_stem()
                .and_then(|stem| stem.to_str())
                .is_some_and(|stem| SAYS_NOTHING.contains(&stem))
        })
        .map(|source| format!("{} says nothing about what is in it", relative(source)))
        .collect();
    none(&problems);
}

#[test]
fn files_say_what_they_are_for_and_stay_readable() {
    // 600 is where to look for the seam; this is where a reader has lost the story.
    const LINES_MAX: usize = 800;
    // Tests that are tables of cases may be longer: they are looked up, not read.
    const TEST_LINES_MAX: usize = 1_000;
    let mut problems = Vec::new();
    for source in all_sources() {
        let text = fs::read_to_string(&source).expect("sources are readable");
        let is_test = relative(&source).contains("/tests/");
        let lines_max = if is_test { TEST_LINES_MAX } else { LINES_MAX };
        if text.lines().count() > lines_max {
            problems.push(format!(
                "{} has {} lines; find its seam",
                relative(&source),
                text.lines().count()
            ));
        }
        if !text.trim_start().starts_with("//!") {
            problems.push(format!(
                "{} does not say at its top what it is for (//!)",
                relative(&source)
            ));
        }
    }
    none(&problems);
}

fn none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

fn floor_of(name: &str) -> Option<u32> {
    FLOORS
        .iter()
        .find(|(floor, _)| *floor == name)
        .map(|(_, number)| *number)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the crate lies two levels deep")
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// Name and parsed Cargo.toml of every crate in this workspace.
fn manifests() -> BTreeMap<String, toml::Table> {
    let crates = fs::read_dir(root().join("crates")).expect("crates/ is there");
    let directories = crates
        .map(|entry| entry.expect("readable").path())
        .chain([root().join("xtask")]);
    directories
        .filter(|directory| directory.join("Cargo.toml").exists())
        .map(|directory| {
            let text = fs::read_to_string(directory.join("Cargo.toml")).expect("readable");
            let manifest: toml::Table = text.parse().expect("Cargo.toml is TOML");
            let name = manifest["package"]["name"]
                .as_str()
                .expect("a crate has a name")
                .to_owned();
            (name, manifest)
        })
        .collect()
}

/// What a crate is built with; what its tests use is free.
fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let table = manifest.get("dependencies").and_then(toml::Value::as_table);
    table
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default()
}

/// A source without the tests at its end and without comments.
fn code_of(source: &Path) -> String {
    let text = fs::read_to_string(source).expect("sources are readable");
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// A file of unit tests, beside the code that it tests.
fn is_test(source: &Path) -> bool {
    source.ancestors().any(|part| {
        part.file_stem()
            .and_then(|stem| stem.to_str())
            .is_some_and(|stem| stem == "tests" || stem.ends_with("_tests"))
    })
}

fn all_sources() -> Vec<PathBuf> {
    let mut all = sources("crates");
    all.extend(sources("xtask"));
    all
}

/// All Rust files below a directory of the clone.
fn sources(directory: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(directory)];
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("readable").path();
            if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
