//! How event ids are stored: hashes as bytes, whichever base64 their room version writes.

/// Packs an event id for storage: one tag byte and 32 bytes of hash for the hashed forms, else the text itself.
/// Hash forms are `$` and 43 characters of unpadded base64 (room version 3: standard; from 4 on: URL-safe).
pub fn encode_event_id(event_id: &str) -> Vec<u8> {
    let Some(hash) = event_id.strip_prefix('$').filter(|hash| hash.len() == 43) else {
        return event_id.as_bytes().to_vec();
    };
    let standard = hash.contains(['+', '/']);
    match unbase64(hash.as_bytes()) {
        // Only what decodes to the very same text is packed: trailing bits or mixed alphabets keep their text.
        Some(bytes) => {
            let mut packed = Vec::with_capacity(33);
            packed.push(if standard { 2 } else { 1 });
            packed.extend_from_slice(&bytes);
            if decode_event_id(&packed) == event_id {
                packed
            } else {
                event_id.as_bytes().to_vec()
            }
        }
        None => event_id.as_bytes().to_vec(),
    }
}

/// The text of an event id that [`encode_event_id`] packed.
pub fn decode_event_id(packed: &[u8]) -> String {
    const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (alphabet, hash) = match packed {
        [1, hash @ ..] => (URL_SAFE, hash),
        [2, hash @ ..] => (STANDARD, hash),
        text => return String::from_utf8_lossy(text).into_owned(),
    };
    let mut text = String::with_capacity(44);
    text.push('$');
    for chunk in hash.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for sextet in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * sextet)) & 63;
            text.push(char::from(alphabet[index as usize]));
        }
    }
    text
}

fn unbase64(text: &[u8]) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    let (mut bits, mut held, mut at) = (0u32, 0, 0);
    for byte in text {
        let sextet = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(sextet);
        held += 6;
        if held >= 8 {
            held -= 8;
            *out.get_mut(at)? = (bits >> held) as u8;
            at += 1;
            bits &= (1 << held) - 1;
        }
    }
    (at == 32).then_some(out)
}
