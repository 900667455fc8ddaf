//! Reads settings: the table's defaults, then the file, then the environment. What nobody declared is refused,
//! because a misspelt setting that is silently ignored is worse than a server that does not start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::declared::{DECLARED, Declared, Kind, blank};
use super::{Scheme, Settings};

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read the settings file {path}: {source}")]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not TOML: {source}")]
    NotToml {
        path: PathBuf,
        source: toml::de::Error,
    },
    #[error("there is no setting `{given}`{}", suggestion(.nearest))]
    Unknown {
        given: String,
        nearest: Option<String>,
    },
    #[error("{name}: {problem}")]
    Invalid { name: String, problem: String },
    #[error("{0}")]
    Contradiction(String),
}

fn suggestion(nearest: &Option<String>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean `{nearest}`? (`kith settings` lists all)"),
        None => "; `kith settings` lists all".to_owned(),
    }
}

/// Reads `file` where there is one, then `environment` (all variables; only those with `KITH_` count).
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Settings, LoadError> {
    let mut given = Given::default();
    if let Some(path) = file {
        given.read_file(path)?;
    }
    given.read_environment(environment)?;
    let settings = given.apply()?;
    check_together(&settings)?;
    Ok(settings)
}

/// What was said about each declared key, by the last one who said something.
#[derive(Default)]
struct Given {
    by_key: BTreeMap<&'static str, GivenValue>,
}

struct GivenValue {
    items: Vec<String>,
    /// The name under which it was given, for messages.
    name: String,
}

impl Given {
    fn read_file(&mut self, path: &Path) -> Result<(), LoadError> {
        let text = std::fs::read_to_string(path).map_err(|source| LoadError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let table: toml::Table = text.parse().map_err(|source| LoadError::NotToml {
            path: path.to_owned(),
            source,
        })?;
        let mut flat = Vec::new();
        flatten("", table, &mut flat);
        for (key, value) in flat {
            let name = format!("{key} (in {})", path.display());
            let Some((declared, from_file)) = find(&key, |d| d.key.to_owned(), "_file") else {
                return Err(LoadError::Unknown {
                    nearest: nearest(&key, |d| d.key.to_owned()),
                    given: key,
                });
            };
            let items = match value {
                toml::Value::Array(items) if declared.kind == Kind::List => items
                    .into_iter()
                    .map(|item| plain(item, &name))
                    .collect::<Result<_, _>>()?,
                value => split(declared, plain(value, &name)?),
            };
            self.take(declared, from_file, GivenValue { items, name })?;
        }
        Ok(())
    }

    fn read_environment(
        &mut self,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<(), LoadError> {
        for (variable, value) in environment {
            if !variable.starts_with("KITH_") || not_a_setting(&variable) {
                continue;
            }
            let Some((declared, from_file)) = find(&variable, Declared::variable, "_FILE") else {
                return Err(LoadError::Unknown {
                    nearest: nearest(&variable, Declared::variable),
                    given: variable,
                });
            };
            // Compose files pass `KITH_X=` for what was left out.
            if !value.is_empty() {
                let items = split(declared, value);
                self.take(
                    declared,
                    from_file,
                    GivenValue {
                        items,
                        name: variable,
                    },
                )?;
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        declared: &'static Declared,
        from_file: bool,
        mut value: GivenValue,
    ) -> Result<(), LoadError> {
        if from_file {
            let path = PathBuf::from(value.items.join(","));
            let text = std::fs::read_to_string(&path)
                .map_err(|source| LoadError::Unreadable { path, source })?;
            value.items = vec![text.trim().to_owned()];
        }
        self.by_key.insert(declared.key, value);
        Ok(())
    }

    fn apply(self) -> Result<Settings, LoadError> {
        let mut settings = blank();
        for declared in DECLARED {
            let (items, name) = match self.by_key.get(declared.key) {
                Some(given) => (given.items.clone(), given.name.clone()),
                None => match declared.default_text() {
                    Some(text) => (split(declared, text.to_owned()), declared.key.to_owned()),
                    None => continue,
                },
            };
            for item in items {
                (declared.set)(&mut settings, &item).map_err(|problem| LoadError::Invalid {
                    name: name.clone(),
                    problem,
                })?;
            }
        }
        Ok(settings)
    }
}

/// Variables that begin like ours and are none: `KITH_CONFIG` names the settings file, scripts that start a server keep
/// its program in `KITH_BINARY` and their own in `KITH_TEST_…`, and Kubernetes gives every container variables named
/// after each service, which for one called `kith` are `KITH_SERVICE_…` and `KITH_PORT…`.
fn not_a_setting(variable: &str) -> bool {
    ["KITH_CONFIG", "KITH_BINARY", "KITH_PORT"].contains(&variable)
        || ["KITH_TEST_", "KITH_SERVICE_", "KITH_PORT_"]
            .iter()
            .any(|prefix| variable.starts_with(prefix))
}

fn flatten(prefix: &str, table: toml::Table, flat: &mut Vec<(String, toml::Value)>) {
    for (key, value) in table {
        let key = if prefix.is_empty() {
            key
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            toml::Value::Table(table) => flatten(&key, table, flat),
            value => flat.push((key, value)),
        }
    }
}

fn plain(value: toml::Value, name: &str) -> Result<String, LoadError> {
    match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(flag) => Ok(flag.to_string()),
        other => Err(LoadError::Invalid {
            name: name.to_owned(),
            problem: format!(
                "expected text, a number or true/false, not a TOML {}",
                other.type_str()
            ),
        }),
    }
}

fn split(declared: &Declared, text: String) -> Vec<String> {
    if declared.kind == Kind::List {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    } else {
        vec![text]
    }
}

/// The declaration named by `given`, and whether it names the file that holds a secret.
fn find(
    given: &str,
    name: impl Fn(&Declared) -> String,
    file_suffix: &str,
) -> Option<(&'static Declared, bool)> {
    DECLARED.iter().find_map(|declared| {
        let name = name(declared);
        if given == name {
            return Some((declared, false));
        }
        let is_file =
            declared.kind == Kind::Secret && given.strip_suffix(file_suffix) == Some(name.as_str());
        is_file.then_some((declared, true))
    })
}

fn nearest(given: &str, name: impl Fn(&Declared) -> String) -> Option<String> {
    DECLARED
        .iter()
        .map(name)
        .map(|name| (edits(given, &name), name))
        .min()
        // Further away, a suggestion confuses more than it helps.
        .filter(|(edits, name)| *edits <= name.trim_start_matches("KITH_").len() / 2)
        .map(|(_, name)| name)
}

/// How many letters must be added, removed or changed (Levenshtein distance).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

fn check_together(settings: &Settings) -> Result<(), LoadError> {
    let contradiction = |text: &str| Err(LoadError::Contradiction(text.to_owned()));
    if settings.listen.is_empty() {
        return contradiction("`listen` names no address, so nobody could reach the server");
    }
    let https = settings
        .listen
        .iter()
        .any(|listener| listener.scheme == Scheme::Https);
    let tls = &settings.tls;
    match (&tls.certificate, &tls.private_key) {
        (None, None) if https => contradiction(
            "`listen` has an https:// address, so `tls.certificate` and `tls.private_key` must name the PEM files",
        ),
        (Some(_), None) => {
            contradiction("`tls.certificate` is set, so `tls.private_key` must be set too")
        }
        (None, Some(_)) => {
            contradiction("`tls.private_key` is set, so `tls.certificate` must be set too")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Database, Listener, RegistrationMode};

    fn from_environment(pairs: &[(&str, &str)]) -> Result<Settings, LoadError> {
        load(
            None,
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    fn from_file(text: &str, pairs: &[(&str, &str)]) -> Result<Settings, LoadError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kith.toml");
        std::fs::write(&path, text).unwrap();
        load(
            Some(&path),
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn no_settings_make_a_usable_server() {
        let settings = from_environment(&[]).unwrap();
        assert_eq!(settings.server_name, "localhost");
        assert_eq!(settings.public_url(), "http://127.0.0.1:8008");
        assert_eq!(settings.data_dir, PathBuf::from("./kith-data"));
        assert_eq!(
            settings.database(),
            Database::Sqlite("./kith-data/kith.db".into())
        );
        assert_eq!(settings.registration.mode, RegistrationMode::Token);
        assert_eq!(settings.rooms.default_version, "12");
        assert!(settings.federation.enabled && settings.limits.enabled);
        assert!(!settings.federation.allow_private_addresses);
        assert_eq!(settings.memory_budget, 256 << 20);
        assert_eq!(settings.metrics.listen, None);
    }

    #[test]
    fn every_variable_of_the_contract_is_taken() {
        let settings = from_environment(&[
            ("KITH_SERVER_NAME", "example.org"),
            ("KITH_PUBLIC_URL", "https://chat.example.org/"),
            ("KITH_DATA_DIR", "/tmp/k"),
            ("KITH_DATABASE", "postgres://kith@db/kith"),
            ("KITH_LISTEN", "http://0.0.0.0:80, https://[::]:443"),
            ("KITH_TLS__CERTIFICATE", "/c.pem"),
            ("KITH_TLS__PRIVATE_KEY", "/k.pem"),
            ("KITH_REGISTRATION__MODE", "open"),
            ("KITH_REGISTRATION__SHARED_SECRET", "s"),
            ("KITH_FEDERATION__ENABLED", "false"),
            ("KITH_FEDERATION__TRUSTED_CA", "/a.pem,/b.pem"),
            ("KITH_FEDERATION__ALLOW_PRIVATE_ADDRESSES", "true"),
            ("KITH_ROOMS__DEFAULT_VERSION", "11"),
            ("KITH_APPSERVICES__DIRECTORY", "/as"),
            ("KITH_LIMITS__ENABLED", "false"),
            ("KITH_LOG", "debug"),
            ("KITH_TEST_POSTGRES", "not ours"),
            ("KITH_SERVICE_HOST", "10.0.0.1"),
            ("KITH_PORT_8008_TCP_ADDR", "10.0.0.1"),
            ("HOME", "/root"),
        ])
        .unwrap();
        assert_eq!(settings.public_url(), "https://chat.example.org");
        assert_eq!(
            settings.database(),
            Database::Postgres("postgres://kith@db/kith".into())
        );
        assert_eq!(
            settings
                .listen
                .iter()
                .map(Listener::url)
                .collect::<Vec<_>>(),
            ["http://127.0.0.1:80", "https://[::1]:443"]
        );
        assert_eq!(settings.registration.mode, RegistrationMode::Open);
        assert_eq!(settings.federation.trusted_ca.len(), 2);
        assert!(!settings.federation.enabled && settings.federation.allow_private_addresses);
        assert_eq!(settings.rooms.default_version, "11");
        assert_eq!(settings.log, "debug");
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let text = "server_name = 'file.example'\nlisten = ['http://127.0.0.1:1']\n[registration]\nmode = 'closed'\n";
        let settings = from_file(
            text,
            &[("KITH_REGISTRATION__MODE", "open"), ("KITH_LISTEN", "")],
        )
        .unwrap();
        assert_eq!(settings.server_name, "file.example");
        assert_eq!(settings.public_url(), "https://file.example");
        assert_eq!(settings.registration.mode, RegistrationMode::Open);
        assert_eq!(settings.listen[0].address.port(), 1);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_one() {
        let refusal = |result: Result<Settings, LoadError>| result.unwrap_err().to_string();
        let file = refusal(from_file("[registration]\nmood = 'open'\n", &[]));
        assert!(
            file.contains("`registration.mood`") && file.contains("`registration.mode`"),
            "{file}"
        );
        let variable = refusal(from_environment(&[("KITH_SERVERNAME", "x")]));
        assert!(
            variable.contains("did you mean `KITH_SERVER_NAME`?"),
            "{variable}"
        );
        let far = refusal(from_environment(&[("KITH_Q", "x")]));
        assert!(!far.contains("did you mean"), "{far}");
    }

    #[test]
    fn a_secret_can_be_read_from_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "hush\n").unwrap();
        let path = path.to_str().unwrap();
        let settings =
            from_environment(&[("KITH_REGISTRATION__SHARED_SECRET_FILE", path)]).unwrap();
        assert_eq!(settings.registration.shared_secret.as_deref(), Some("hush"));
        assert!(
            from_environment(&[("KITH_LOG_FILE", path)]).is_err(),
            "only secrets have files"
        );
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let refusal = from_environment(&[("KITH_LISTEN", "https://0.0.0.0:443")])
            .unwrap_err()
            .to_string();
        assert!(refusal.contains("tls.certificate"), "{refusal}");
        assert!(from_environment(&[("KITH_LISTEN", ",")]).is_err());
        assert!(from_environment(&[("KITH_TLS__CERTIFICATE", "/c.pem")]).is_err());
    }

    #[test]
    fn a_wrong_value_names_the_setting_and_what_is_right() {
        for (variable, value) in [
            ("KITH_SERVER_NAME", "https://example.org"),
            ("KITH_PUBLIC_URL", "example.org"),
            ("KITH_DATABASE", "mysql://x"),
            ("KITH_LISTEN", "0.0.0.0:8008"),
            ("KITH_REGISTRATION__MODE", "maybe"),
            ("KITH_FEDERATION__ENABLED", "yes please"),
            ("KITH_ROOMS__DEFAULT_VERSION", "13"),
            ("KITH_MEMORY_BUDGET", "a lot"),
            ("KITH_METRICS__LISTEN", "here"),
            ("KITH_TRUSTED_PROXIES", "proxy"),
            ("KITH_LOG_FORMAT", "xml"),
        ] {
            let refusal = from_environment(&[(variable, value)])
                .unwrap_err()
                .to_string();
            assert!(refusal.starts_with(variable), "{refusal}");
        }
    }

    #[test]
    fn every_example_in_the_reference_is_valid() {
        for declared in DECLARED {
            let mut settings = blank();
            for item in split(declared, declared.example.to_owned()) {
                (declared.set)(&mut settings, &item)
                    .unwrap_or_else(|problem| panic!("{}: {problem}", declared.key));
            }
        }
    }
}
