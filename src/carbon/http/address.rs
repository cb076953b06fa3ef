//! Which addresses may be asked.

use ureq::http::Uri;

/// Whether an address can be asked: `http` or `https`, with a host, and without a user name or password, which would be
/// shown in messages.
///
/// # Errors
/// What is wrong with it, without quoting it.
pub fn check_address(address: &str) -> Result<(), String> {
    if address.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("an address can't have white space or control characters in it".to_owned());
    }
    let uri: Uri = address.parse().map_err(|_| "not an address such as https://host/path".to_owned())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("an address must begin with http:// or https://".to_owned());
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err(
            "an address can't have a user name or password in it: put credentials into a file".to_owned()
        );
    }
    let port = uri.host().and_then(|host| authority.strip_prefix(host)).unwrap_or_default();
    if uri.host().is_none_or(|host| matches!(host, "" | "[]")) {
        return Err("an address needs a host".to_owned());
    }
    if !port.is_empty() && uri.port_u16().is_none_or(|port| port == 0) {
        return Err("an address's port must be a number from 1 to 65535".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_without_being_quoted() {
        for good in [
            "http://127.0.0.1:9464",
            "https://api.example/v4/latest?zone=FR",
            "https://api.example",
            "http://[::1]:9090/api",
            "http://relay.example./x/{zone}",
            "HTTPS://api.example/",
        ] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for (bad, problem) in [
            ("", "not an address"),
            ("api.example/v4", "not an address"),
            ("api.example", "http://"),
            ("/v4/latest", "http://"),
            ("ftp://hunter2.example/", "http://"),
            ("file:///etc/hunter2", "not an address"),
            ("https:///hunter2", "not an address"),
            ("https://", "not an address"),
            ("https://:443/hunter2", "a host"),
            ("https://api.example:99999/hunter2", "port"),
            ("https://api.example:0/hunter2", "port"),
            ("https://joe:hunter2@api.example/", "user name"),
            ("https://hunter2@api.example/", "user name"),
            ("https://api.example/hunter2 x", "white space"),
            ("https://api.example/hunter2\r\nX-Evil: 1", "control"),
            ("https://api.example/hunter2\0", "control"),
        ] {
            let told = check_address(bad).unwrap_err();
            assert!(told.contains(problem) && !told.contains("hunter2"), "{bad:?}: {told}");
        }
    }
}
