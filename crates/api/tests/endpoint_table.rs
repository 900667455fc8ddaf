//! The table of endpoints in `docs/endpoints.csv` tells the truth: what it calls served is served, what is served stands
//! in it, the tests that it names exist, and its list is the spec's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

struct Row {
    origin: String,
    served: String,
    test: String,
}

/// Method and path → row.
fn table() -> BTreeMap<(String, String), Row> {
    let text = std::fs::read_to_string(root().join("docs/endpoints.csv"))
        .expect("docs/endpoints.csv is there");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("method,path,origin,served,test"));
    lines
        .map(|line| {
            let [method, path, origin, served, test] = line.split(',').collect::<Vec<_>>()[..]
            else {
                panic!("not five columns: {line}");
            };
            let row = Row {
                origin: origin.into(),
                served: served.into(),
                test: test.into(),
            };
            ((method.to_owned(), path.to_owned()), row)
        })
        .collect()
}

#[test]
fn what_the_table_calls_served_is_what_is_served() {
    let said: BTreeSet<_> = table()
        .into_iter()
        .filter(|(_, row)| row.served == "yes")
        .map(|(endpoint, _)| endpoint)
        .collect();
    let served: BTreeSet<_> = api::endpoints()
        .into_iter()
        .map(|(method, path)| (method.to_string(), path.to_owned()))
        .collect();
    let missing: Vec<_> = said.difference(&served).collect();
    let unsaid: Vec<_> = served.difference(&said).collect();
    assert!(
        missing.is_empty(),
        "called served, and is not: {missing:#?}"
    );
    assert!(
        unsaid.is_empty(),
        "served, and not in docs/endpoints.csv: {unsaid:#?}"
    );
}

#[test]
fn the_tests_that_the_table_names_exist() {
    for ((method, path), row) in table() {
        if row.served != "yes" || row.test.is_empty() {
            continue;
        }
        assert!(
            root().join(&row.test).exists(),
            "{method} {path}: there is no {}",
            row.test
        );
    }
}

#[test]
fn the_table_lists_every_endpoint_of_the_spec() {
    let spec = root().join("../shared/spec/endpoints.csv");
    let Ok(text) = std::fs::read_to_string(&spec) else {
        eprintln!("not compared to the spec's own list, which is not on this machine");
        return;
    };
    let listed = table();
    for line in text.lines().skip(1) {
        let columns: Vec<_> = line.split(',').collect();
        if columns[0] != "client-server" {
            continue;
        }
        let endpoint = (columns[1].to_owned(), columns[2].trim().to_owned());
        let row = listed.get(&endpoint);
        assert!(
            row.is_some_and(|row| row.origin == "spec"),
            "{endpoint:?} is missing in docs/endpoints.csv"
        );
    }
}
