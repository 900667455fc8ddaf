//! Which names new accounts may have: "Identifier Grammar" (appendices, v1.19), "User Identifiers".
//!
//! Names from before the grammar was strict ("historical user IDs") are accepted wherever an existing user is named, never
//! for a new account.

/// Why a name cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name has at least one letter or digit")]
    Empty,
    #[error("a name is made of a to z, 0 to 9 and . _ = - / +")]
    Characters,
    #[error("the name is too long: a user id has at most 255 bytes")]
    TooLong,
    #[error("this name is reserved")]
    Reserved,
}

/// A user id has at most 255 bytes, `@` and server name included (appendices, v1.19).
const USER_ID_BYTES_MAX: usize = 255;

/// Names that people would take for the server speaking.
const RESERVED: [&str; 2] = ["kith", "server"];

/// The localpart that a wish for a name leads to: capitals become small letters, as no two accounts differ by them.
pub fn new_localpart(wish: &str, server_name: &str) -> Result<String, NameError> {
    let localpart = wish.to_ascii_lowercase();
    if localpart.is_empty() {
        return Err(NameError::Empty);
    }
    if !localpart
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._=-/+".contains(&byte))
    {
        return Err(NameError::Characters);
    }
    if user_id(&localpart, server_name).len() > USER_ID_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    // Names that begin so are those of bridged people by custom.
    if localpart.starts_with('_') || RESERVED.contains(&localpart.as_str()) {
        return Err(NameError::Reserved);
    }
    Ok(localpart)
}

/// The user id of a localpart on a server.
pub fn user_id(localpart: &str, server_name: &str) -> String {
    format!("@{localpart}:{server_name}")
}

/// The user ids that someone may mean who types `name` to sign in: as it is, and in small letters. None where it names
/// another server's user, or no user at all.
pub fn meant_user_ids(name: &str, server_name: &str) -> Vec<String> {
    let localpart = match name.strip_prefix('@') {
        None => name,
        Some(id) => match id.split_once(':') {
            Some((localpart, server)) if server == server_name => localpart,
            _ => return Vec::new(),
        },
    };
    // Historical localparts hold any printable ASCII but the colon.
    if localpart.is_empty()
        || localpart.contains(':')
        || !localpart.bytes().all(|byte| byte.is_ascii_graphic())
        || localpart.len() > USER_ID_BYTES_MAX
    {
        return Vec::new();
    }
    let mut meant = vec![user_id(localpart, server_name)];
    let small = localpart.to_ascii_lowercase();
    if small != localpart {
        meant.push(user_id(&small, server_name));
    }
    meant
}

/// The localpart of a user id.
pub fn localpart(user_id: &str) -> &str {
    let id = user_id.strip_prefix('@').unwrap_or(user_id);
    id.split_once(':').map_or(id, |(localpart, _)| localpart)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wish: &str, expected: Result<&str, NameError>) {
        assert_eq!(
            new_localpart(wish, "example.org").as_deref(),
            expected.as_deref().map_err(|e| e),
            "{wish}"
        );
    }

    #[test]
    fn new_names_follow_the_strict_grammar() {
        check("ada", Ok("ada"));
        check("Ada", Ok("ada"));
        check("a.b_c=d-e/f+0", Ok("a.b_c=d-e/f+0"));
        check("", Err(NameError::Empty));
        for wish in ["a b", "a:b", "@ada", "é", "a!", "a\"", "a\n", "a\0", "{a}"] {
            check(wish, Err(NameError::Characters));
        }
        check("_bridge", Err(NameError::Reserved));
        check("Kith", Err(NameError::Reserved));
        check(&"a".repeat(243), Err(NameError::TooLong));
    }

    #[test]
    fn people_may_type_a_name_or_an_id_and_capitals() {
        assert_eq!(meant_user_ids("ada", "x.y"), ["@ada:x.y"]);
        assert_eq!(meant_user_ids("@ada:x.y", "x.y"), ["@ada:x.y"]);
        assert_eq!(meant_user_ids("Ada", "x.y"), ["@Ada:x.y", "@ada:x.y"]);
        for nobody in ["@ada:other", "@ada", "", "a\0b", "ada:x.y", "a b"] {
            assert!(meant_user_ids(nobody, "x.y").is_empty(), "{nobody}");
        }
    }
}
