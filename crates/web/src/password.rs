//! How hard a password is to guess, estimated the same way here and in the page's script (`password.js`).
//!
//! The estimate counts letters that neither go on a run (`aaa`, `abc`, `321`) nor are part of a word that everyone
//! tries first, and takes the kinds of letters into account. It errs on the side of letting people in: rate limits
//! and Argon2 guard accounts too.

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    Weak,
    Fair,
    Good,
    Strong,
}

/// Eight letters chosen at random carry 37 bits: far too many to guess through a login form.
const FAIR_BITS: f64 = 36.0;
const GOOD_BITS: f64 = 50.0;
const STRONG_BITS: f64 = 65.0;

/// NIST SP 800-63B asks for 8 at the least.
pub const CHARACTERS_MIN: usize = 8;
/// Argon2 would take more; this bounds the work that a form can cause.
pub const BYTES_MAX: usize = 512;

/// Judges a password for the account `localpart`.
pub fn strength(password: &str, localpart: &str) -> Strength {
    let bits = bits(password, localpart);
    if password.chars().count() < CHARACTERS_MIN || bits < FAIR_BITS {
        Strength::Weak
    } else if bits < GOOD_BITS {
        Strength::Fair
    } else if bits < STRONG_BITS {
        Strength::Good
    } else {
        Strength::Strong
    }
}

fn bits(password: &str, localpart: &str) -> f64 {
    let mut text = password.to_lowercase();
    if localpart.chars().count() >= 3 {
        text = text.replace(&localpart.to_lowercase(), "\u{1}");
    }
    for word in COMMON_WORDS {
        text = text.replace(word, "\u{1}");
    }
    let (mut before, mut step_before) = (-9, 9);
    let mut letters = 0.0;
    for letter in text.chars() {
        let code = i64::from(u32::from(letter));
        let step = code - before;
        let goes_on = step.abs() <= 1 && step == step_before;
        letters += if goes_on { 0.25 } else { 1.0 };
        (before, step_before) = (code, step);
    }
    letters * f64::from(pool(password)).log2()
}

/// How many different letters a guesser would have to try at each place.
fn pool(password: &str) -> u32 {
    let has = |kind: fn(char) -> bool| password.chars().any(kind);
    let mut pool = 0;
    if has(|c| c.is_ascii_lowercase()) {
        pool += 26;
    }
    if has(|c| c.is_ascii_uppercase()) {
        pool += 26;
    }
    if has(|c| c.is_ascii_digit()) {
        pool += 10;
    }
    if has(|c| c == ' ' || c.is_ascii_punctuation()) {
        pool += 33;
    }
    if has(|c| !c.is_ascii()) {
        pool += 100;
    }
    pool.max(2)
}

/// What everyone tries first; each counts as one letter. Longer words stand before those they contain.
pub const COMMON_WORDS: &[&str] = &[
    "password",
    "passwort",
    "passw0rd",
    "motdepasse",
    "contraseña",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwerty",
    "qwertz",
    "azerty",
    "asdf",
    "1q2w3e4r",
    "1qaz2wsx",
    "q1w2e3",
    "123456789",
    "987654321",
    "letmein",
    "welcome",
    "willkommen",
    "iloveyou",
    "sunshine",
    "princess",
    "football",
    "baseball",
    "dragon",
    "monkey",
    "master",
    "shadow",
    "superman",
    "batman",
    "trustno1",
    "changeme",
    "hallo",
    "hello",
    "secret",
    "geheim",
    "admin",
    "login",
    "matrix",
    "element",
    "kith",
    "summer",
    "winter",
    "spring",
    "autumn",
    "january",
    "christmas",
    "chocolate",
    "michael",
    "jordan",
    "2023",
    "2024",
    "2025",
    "2026",
    "2027",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The same cases are typed into the page by the browser tests.
    #[test]
    fn what_people_choose_is_judged_sensibly() {
        for (password, expected) in [
            ("", Strength::Weak),
            ("short1!", Strength::Weak),
            ("password123", Strength::Weak),
            ("Password2024!", Strength::Weak),
            ("aaaaaaaaaaaaaaaa", Strength::Weak),
            ("abcdefghijklmnop", Strength::Weak),
            ("ada-lovelace-ada", Strength::Strong),
            ("Kqzvbtxpm", Strength::Good),
            ("kqzvbtxw", Strength::Fair),
            ("correct horse", Strength::Strong),
            ("teapot river anvil", Strength::Strong),
            ("grüße aus Köln", Strength::Strong),
        ] {
            assert_eq!(strength(password, "ada"), expected, "{password}");
        }
    }

    #[test]
    fn ones_own_name_is_no_password() {
        assert_eq!(strength("bartholomew1", "bartholomew"), Strength::Weak);
    }

    #[test]
    fn longer_words_come_before_those_they_contain() {
        for (i, word) in COMMON_WORDS.iter().enumerate() {
            assert!(
                !COMMON_WORDS[..i]
                    .iter()
                    .any(|earlier| word.contains(earlier)),
                "{word} would never be found"
            );
        }
    }
}
