//! Pagination tokens: points between the events of a room.
//!
//! `t<place>.<seq>` is the point just after that place; `s<position>`, as `/sync` gives it (a second number after a dot
//! is for the to-device queue and means nothing here), is the end of that place. Source: the design, "How events are
//! ordered and what tokens mean".

use storage::events::Place;

/// Reads a token of either form; none where it is neither.
pub fn parse(token: &str) -> Option<Place> {
    if let Some(rest) = token.strip_prefix('t') {
        let (place, seq) = rest.split_once('.')?;
        return Some(Place {
            place: number(place)?,
            seq: number(seq)?,
        });
    }
    let rest = token.strip_prefix('s')?;
    let (position, to_device) = rest.split_once('.').unwrap_or((rest, "0"));
    number(to_device)?;
    Some(Place::after_position(number(position)?))
}

/// The token of the point just after a place.
pub fn after(place: Place) -> String {
    format!("t{}.{}", place.place, place.seq)
}

/// The token of the point just before an event's place: going back from there starts with the event before it.
pub fn before(place: Place) -> String {
    after(just_before(place))
}

/// The greatest point before a place.
pub fn just_before(place: Place) -> Place {
    match place.seq.checked_sub(1) {
        Some(seq) => Place { seq, ..place },
        None => Place {
            place: place.place.saturating_sub(1),
            seq: i64::MAX,
        },
    }
}

/// A whole number as we write it: nothing but digits and a sign.
fn number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        for (place, seq) in [
            (0, 0),
            (17, 0),
            (17, -3),
            (i64::MAX, i64::MAX),
            (5, i64::MIN),
        ] {
            let place = Place { place, seq };
            assert_eq!(parse(&after(place)), Some(place));
            assert!(parse(&before(place)).unwrap() < place);
        }
    }

    #[test]
    fn a_sync_token_is_the_end_of_its_place() {
        assert_eq!(parse("s12"), Some(Place::after_position(12)));
        assert_eq!(parse("s12.34"), Some(Place::after_position(12)));
    }

    #[test]
    fn what_is_no_token_is_none() {
        for token in [
            "",
            "t",
            "t1",
            "t1.",
            "t.1",
            "s",
            "s+1",
            "sx",
            "s1.x",
            "t1.2.3",
            "x1",
            "t 1.2",
            "s99999999999999999999",
        ] {
            assert_eq!(parse(token), None, "{token}");
        }
    }
}
