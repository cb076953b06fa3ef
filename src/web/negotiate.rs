//! Content coding (RFC 9110, section 12.5.3).

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_ENCODING;

/// Whether the client takes gzip, and doesn't like the plain form better.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    for item in values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')) {
        let mut parts = item.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(weight).unwrap_or(Some(1.0)).unwrap_or(0.0);
        match coding.as_str() {
            "gzip" | "x-gzip" => gzip = Some(weight),
            "identity" => identity = Some(weight),
            "*" => any = Some(weight),
            _ => {}
        }
    }
    let gzip = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity.unwrap_or(0.0)
}

/// The weight of a `q=` parameter: `None` for another parameter, `Some(None)` for a weight that isn't one.
fn weight(parameter: &str) -> Option<Option<f32>> {
    let (name, value) = parameter.split_once('=')?;
    name.trim().eq_ignore_ascii_case("q").then(|| {
        let weight = value.trim().parse().ok();
        weight.filter(|weight| (0.0..=1.0).contains(weight))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_decide() {
        for (value, gzip) in [
            ("gzip", true),
            ("GZIP", true),
            ("x-gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip; q=0.001", true),
            ("*", true),
            ("br, *;q=0.1", true),
            ("gzip, identity", true),
            ("identity;q=0.5, gzip;q=1.0", true),
            ("", false),
            ("identity", false),
            ("br", false),
            ("gzipped", false),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("gzip;q=0, *", false),
            ("*;q=0", false),
            ("identity, gzip;q=0.5", false),
            ("gzip;q=NaN", false),
            ("gzip;q=-1", false),
            ("gzip;q=", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, value.parse().unwrap());
            assert_eq!(accepts_gzip(&headers), gzip, "{value:?}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
