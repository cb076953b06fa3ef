use super::*;
use crate::carbon::providers::replay::{Replay, Reply};

fn get(server: &Replay) -> Result<Answer, FetchError> {
    let request =
        Request::new(server.url()).query("zone", "a b").header("auth-token", Secret::new("hunter2"));
    HttpClient::new(None)?.get(&request)?.ok()
}

#[test]
fn statuses_are_told_apart() {
    for (status, result) in [
        (204, FetchResult::Empty),
        (302, FetchResult::Redirect),
        (400, FetchResult::Rejected),
        (401, FetchResult::Auth),
        (403, FetchResult::Forbidden),
        (404, FetchResult::NotFound),
        (422, FetchResult::Rejected),
        (429, FetchResult::RateLimited),
        (500, FetchResult::Server),
        (503, FetchResult::Server),
    ] {
        let server = Replay::in_turn([Reply::status(status, "").header("location", "/elsewhere")]);
        assert_eq!(get(&server).unwrap_err().result, result, "{status}");
        assert_eq!(server.asked().len(), 1, "{status}");
    }
}

#[test]
fn the_query_is_encoded_and_the_header_is_sent() {
    let server = Replay::in_turn([Reply::ok("{}").header("retry-after", "7")]);
    let answer = get(&server).unwrap();
    assert_eq!((answer.status, answer.retry_after.as_deref()), (200, Some("7")));
    let asked = &server.asked()[0];
    assert_eq!(asked.target, "/?zone=a+b");
    assert_eq!(asked.header("auth-token"), Some("hunter2"));
}
