//! Bearer tokens as they are presented: which of them can be Keystone's at all.

use std::fmt;

use secrecy::SecretString;
use sha2::{Digest, Sha256};

/// The longest text that is taken for a token. Keystone's have some 180 to 280 characters.
const MAX_LEN: usize = 1024;
/// Version byte 0x80 and the upper bytes of a time in seconds before the year 2106, in base64.
const START: &str = "gAAAAA";
/// Bytes of a Fernet token besides its ciphertext: version, time, initialization vector, HMAC.
const FRAME: usize = 1 + 8 + 16 + 32;
/// Block of AES.
const BLOCK: usize = 16;

/// What a token is remembered by: nobody can get the token back from it.
pub(crate) type Key = [u8; 32];

/// A text with the shape of a Keystone token.
pub(crate) struct Presented {
    pub(crate) secret: SecretString,
    pub(crate) key: Key,
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presented(…)")
    }
}

impl Presented {
    /// `None` for whatever has not the shape of a Fernet token (<https://github.com/fernet/spec>), for example the JWT of a
    /// service account: that must reach nobody else.
    pub(crate) fn new(text: &str) -> Option<Self> {
        is_fernet(text).then(|| Self {
            secret: text.into(),
            key: Sha256::digest(text.as_bytes()).into(),
        })
    }
}

fn is_fernet(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if text.len() > MAX_LEN || padding > 2 || !digits.starts_with(START) || !digits.bytes().all(known) {
        return false;
    }
    let bytes = digits.len() / 4 * 3 + [0, 0, 1, 2][digits.len() % 4];
    digits.len() % 4 != 1 && bytes >= FRAME + BLOCK && (bytes - FRAME).is_multiple_of(BLOCK)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_what_keystone_issues() {
        // 137 bytes: 80 of ciphertext, as for a token with a project.
        for (length, padding) in [(183, ""), (183, "="), (98, ""), (119, ""), (119, "="), (268, "")] {
            let text = format!("gAAAAA{}{padding}", "b".repeat(length - 6));
            assert!(
                Presented::new(&text).is_some(),
                "{length} digits with padding {padding:?}"
            );
        }
    }

    #[test]
    fn leaves_everything_else_alone() {
        let jwt = format!(
            "eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.{}.{}",
            "e".repeat(300),
            "s".repeat(342)
        );
        let right = format!("gAAAAA{}", "b".repeat(177));
        for text in [
            String::new(),
            "gAAAAA".to_owned(),
            jwt,
            "abcdef.0123456789abcdef".to_owned(),
            format!("{right}b"),
            format!("{right}==="),
            right.replace('b', "+"),
            format!("{right}\r\nX-Auth-Token: x"),
            format!(" {right}"),
            right.replacen("gAAAAA", "gBAAAA", 1),
            format!("gAAAAA{}", "b".repeat(100_000)),
            "é".repeat(90),
        ] {
            assert!(Presented::new(&text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer(text in ".{0,300}") {
            prop_assert!(Presented::new(&text).is_none_or(|_| text.is_ascii()));
        }

        #[test]
        fn every_fernet_token_has_the_shape(blocks in 1_usize..12, seed in any::<u8>()) {
            const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let bytes = FRAME + blocks * BLOCK;
            let digits = bytes / 3 * 4 + [0, 2, 3][bytes % 3];
            let text: String = (6..digits).map(|n| char::from(DIGITS[(n * 7 + usize::from(seed)) % 64])).collect();
            let token = format!("{START}{text}");
            prop_assert!(is_fernet(&token));
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let presented = Presented::new(&format!("gAAAAA{}", "b".repeat(177))).unwrap();
        assert_eq!(format!("{presented:?}"), "Presented(…)");
    }
}
