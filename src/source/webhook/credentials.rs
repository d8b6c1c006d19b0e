//! Who may post: whoever signs the body with a secret, or presents a key in a header.
//!
//! Convex signs: `x-webhook-signature: sha256=` and the HMAC-SHA256 of the raw body in hexadecimal digits, with the
//! secret's own bytes as the key (`formats.md` §3.4). Forwarders present a key as `Authorization: Bearer`, `DD-API-KEY`
//! or `X-API-Key`. All comparisons take the same time wherever they differ, and every secret is tried.

use super::Answer;
use crate::secret::Revealed;
use axum::http::{HeaderMap, HeaderName, header};
use hmac::digest::{CtOutput, Key};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;

/// The header that Convex puts the signature into.
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("x-webhook-signature");

/// The headers that keys stand in, apart from `Authorization`.
static KEYS: [HeaderName; 2] = [HeaderName::from_static("dd-api-key"), HeaderName::from_static("x-api-key")];

/// What a browser adds to a page's requests, and no sender of logs does.
static OF_PAGES: [HeaderName; 2] = [header::ORIGIN, HeaderName::from_static("sec-fetch-site")];

/// What an endpoint accepts.
#[derive(Clone)]
pub struct Credentials {
    /// Each ready to sign.
    secrets: Vec<Hmac<Sha256>>,
    /// Each as a hash, so that all are equally long.
    keys: Vec<CtOutput<Hmac<Sha256>>>,
    allow_unsigned: bool,
}

/// What a request claims in its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// That its body has this signature, which is to be checked.
    Signed([u8; 32]),
    /// It presented a key.
    Keyed,
    /// Nothing, and nothing is asked for.
    Unsigned,
}

impl Credentials {
    /// Accepts bodies that any of the secrets signed, and requests with any of the keys; all others only where unsigned
    /// bodies are allowed.
    pub fn new(secrets: &[Revealed], keys: &[Revealed], allow_unsigned: bool) -> Self {
        let secrets = secrets.iter().filter_map(|secret| Hmac::new_from_slice(secret.expose().as_bytes()).ok());
        let keys = keys.iter().map(|key| hidden(key.expose().as_bytes()));
        Self { secrets: secrets.collect(), keys: keys.collect(), allow_unsigned }
    }

    /// What a request's head claims, or the refusal.
    pub(super) fn claim(&self, headers: &HeaderMap) -> Result<Claim, Answer> {
        let presented = presented(headers);
        if self.has_key(&presented) {
            return Ok(Claim::Keyed);
        }
        let mut signatures = headers.get_all(SIGNATURE).iter();
        if let Some(first) = signatures.next().filter(|_| !self.secrets.is_empty()) {
            // Two that say the same are one that a proxy repeated.
            let agree = signatures.all(|other| other == first);
            let signature = Some(first.as_bytes()).filter(|_| agree).and_then(parse).ok_or(Answer::Unauthorized)?;
            return Ok(Claim::Signed(signature));
        }
        let wrong_key = !self.keys.is_empty() && !presented.is_empty();
        if !self.allow_unsigned || wrong_key {
            return Err(Answer::Unauthorized);
        }
        if OF_PAGES.iter().any(|name| headers.contains_key(name)) {
            return Err(Answer::Forbidden);
        }
        Ok(Claim::Unsigned)
    }

    /// Whether one of the secrets gives a body this signature.
    pub(super) fn signed(&self, body: &[u8], signature: &[u8; 32]) -> bool {
        // Every secret is tried, also after one was found.
        let signs = |secret: &&Hmac<Sha256>| {
            let mut mac = Hmac::clone(secret);
            mac.update(body);
            mac.verify_slice(signature).is_ok()
        };
        self.secrets.iter().filter(signs).count() > 0
    }

    fn has_key(&self, presented: &[&[u8]]) -> bool {
        let presented = presented.iter().map(|presented| hidden(presented));
        // Every key is looked at, also after one was found.
        presented.flat_map(|presented| self.keys.iter().map(move |key| *key == presented)).filter(|is| *is).count() > 0
    }
}

/// The keys that a request presents.
fn presented(headers: &HeaderMap) -> Vec<&[u8]> {
    let bearers = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked(b"bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
    });
    let others = KEYS.iter().flat_map(|name| headers.get_all(name)).map(|value| value.as_bytes().trim_ascii());
    bearers.chain(others).collect()
}

/// A key as something that is compared in constant time, whatever its length.
fn hidden(key: &[u8]) -> CtOutput<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new(&Key::<Hmac<Sha256>>::default());
    mac.update(key);
    mac.finalize()
}

/// Reads `sha256=` and 64 hexadecimal digits.
fn parse(text: &[u8]) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.strip_prefix(b"sha256=")?.try_into().ok()?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut signature = [0; 32];
    for (byte, pair) in signature.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(signature)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secrets, keys, allow_unsigned } = self;
        write!(f, "{} secrets, {} keys, allow_unsigned: {allow_unsigned}", secrets.len(), keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use axum::http::HeaderValue;
    use std::path::Path;

    fn revealed(values: &[&str]) -> Vec<Revealed> {
        let directory = tempfile::tempdir().unwrap();
        let reveal = |value: &&str| {
            std::fs::write(directory.path().join("secret"), value).unwrap();
            Secret::parse("file:secret", directory.path()).unwrap().reveal().unwrap()
        };
        values.iter().map(reveal).collect()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let value = |value: &str| HeaderValue::from_str(value).unwrap();
        pairs.iter().map(|(name, text)| (HeaderName::from_static(name), value(text))).collect()
    }

    #[test]
    fn a_captured_body_is_signed_and_no_body_that_differs_in_a_bit() {
        let body = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/webhook/array.body")).unwrap();
        let credentials = Credentials::new(&revealed(&["other", "0123456789abcdef0123456789abcdef"]), &[], false);
        let digits = "f3bdf0b990f79925401e5b50feebd00ddf91d54473b6e34bcf20fd0853a291fd";
        for digits in [digits.to_owned(), digits.to_uppercase()] {
            let claim = credentials.claim(&headers(&[("x-webhook-signature", &format!("sha256={digits}"))]));
            let Ok(Claim::Signed(signature)) = claim else { panic!("{claim:?}") };
            assert!(credentials.signed(&body, &signature));
            for bit in 0..256 {
                let mut flipped = signature;
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(!credentials.signed(&body, &flipped), "bit {bit} of the signature");
            }
            for at in 0..body.len() {
                let mut flipped = body.clone();
                flipped[at] ^= 1;
                assert!(!credentials.signed(&flipped, &signature), "byte {at} of the body");
            }
        }
    }

    #[test]
    fn what_a_head_claims() {
        let (secrets, keys) = (revealed(&["secret"]), revealed(&["key", "other"]));
        let right = format!("sha256={}", "0f".repeat(32));
        let signed = ("x-webhook-signature", &*right);
        let check = |credentials: &Credentials, pairs: &[(&'static str, &str)], expected: Result<Claim, Answer>| {
            assert_eq!(credentials.claim(&headers(pairs)), expected, "{credentials:?}: {pairs:?}");
        };
        let both = Credentials::new(&secrets, &keys, false);
        check(&both, &[signed], Ok(Claim::Signed([0x0f; 32])));
        check(&both, &[signed, signed], Ok(Claim::Signed([0x0f; 32])));
        check(&both, &[signed, ("x-webhook-signature", "sha256=")], Err(Answer::Unauthorized));
        for key in [
            ("authorization", "Bearer key"),
            ("authorization", "bEARER  other "),
            ("dd-api-key", "key"),
            ("x-api-key", "other"),
        ] {
            check(&both, &[key], Ok(Claim::Keyed));
            check(&both, &[("x-api-key", "wrong"), key], Ok(Claim::Keyed));
        }
        for wrong in ["Bearer", "Bearer ", "Bearer keys", "Basic key", "key", "Bearer key key"] {
            check(&both, &[("authorization", wrong)], Err(Answer::Unauthorized));
        }
        check(&both, &[], Err(Answer::Unauthorized));
        let page = ("origin", "https://evil.example");
        let open = Credentials::new(&[], &[], true);
        check(&open, &[], Ok(Claim::Unsigned));
        check(&open, &[signed], Ok(Claim::Unsigned));
        check(&open, &[page], Err(Answer::Forbidden));
        check(&open, &[("sec-fetch-site", "none")], Err(Answer::Forbidden));
        // What is presented must be right even where nothing need be.
        let open = Credentials::new(&secrets, &keys, true);
        check(&open, &[], Ok(Claim::Unsigned));
        check(&open, &[signed], Ok(Claim::Signed([0x0f; 32])));
        check(&open, &[("x-webhook-signature", "sha256=0f")], Err(Answer::Unauthorized));
        check(&open, &[("x-api-key", "wrong")], Err(Answer::Unauthorized));
        assert_eq!(format!("{both:?}"), "1 secrets, 2 keys, allow_unsigned: false");
    }
}
