//! Certificates in the text form in which administrators have them (PEM, RFC 7468).

use ureq::tls::{Certificate, PemItem, parse_pem};

/// The certificates in a PEM text, other items left out; empty where there is none.
pub(crate) fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    let items = parse_pem(pem).filter_map(Result::ok);
    items
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect()
}
