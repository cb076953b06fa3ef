use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::hostile::Hostile;
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
        (408, FetchResult::Timeout),
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

const NOW: UnixTime = UnixTime::from_seconds(1_767_225_600);
const SOON: Duration = Duration::from_millis(400);

/// What comes of asking a server that does this after the request.
fn ask(answer: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> FetchError {
    let server = Hostile::new(answer);
    let error =
        HttpClient::with_timeout(None, SOON).unwrap().get(&Request::new(server.url("http"))).unwrap_err();
    assert!(error.text.starts_with(&server.url("http")), "{error}");
    error
}

#[test]
fn what_is_no_answer_is_an_error() {
    let ok = b"HTTP/1.1 200 OK\r\n";
    let cases: [(&str, &[u8], FetchResult); 8] = [
        ("nothing", b"", FetchResult::Network),
        ("garbage", b"\x16\x03\x01\0\xa5 what?\r\n\r\n", FetchResult::Network),
        ("half a status", b"HTTP/1.1 20", FetchResult::Network),
        ("half a head", ok, FetchResult::Network),
        ("half a body", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{\"a\"", FetchResult::Network),
        (
            "half a chunk",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a",
            FetchResult::Network,
        ),
        (
            "a bad chunk",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}",
            FetchResult::Network,
        ),
        ("a bad length", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n{}", FetchResult::Network),
    ];
    for (what, bytes, result) in cases {
        let error = ask(move |stream| stream.write_all(bytes));
        assert_eq!(error.result, result, "{what}: {error}");
    }
    let long = |stream: &mut TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nx: ")?;
        (0..10_000).try_for_each(|_| stream.write_all(&[b'x'; 1000]))
    };
    assert_eq!(ask(long).result, FetchResult::Network);
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let error = HttpClient::new(None).unwrap().get(&Request::new(format!("http://{nobody}"))).unwrap_err();
    assert_eq!(error.result, FetchResult::Network);
}

#[test]
fn the_deadline_ends_whatever_takes_too_long() {
    let never = |_: &mut TcpStream| loop {
        thread::park();
    };
    assert_eq!(ask(never).result, FetchResult::Timeout);
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"] {
        let drip = move |stream: &mut TcpStream| {
            stream.write_all(head.as_bytes())?;
            let (_never, nothing) = std::sync::mpsc::channel::<()>();
            loop {
                stream.write_all(b"H")?;
                let _ = nothing.recv_timeout(SOON / 10);
            }
        };
        let error = ask(drip);
        // Where the drip isn't HTTP, that may be noticed first.
        let results = [FetchResult::Timeout, FetchResult::Network];
        assert!(results[..=usize::from(head.is_empty())].contains(&error.result), "{error}");
    }
    let silent = Hostile::raw(|stream| {
        let _held = stream;
        loop {
            thread::park();
        }
    });
    let client = HttpClient::with_timeout(None, SOON).unwrap();
    let error = client.get(&Request::new(silent.url("https"))).unwrap_err();
    assert_eq!(error.result, FetchResult::Timeout, "{error}");
}

#[test]
fn a_body_is_read_up_to_the_cap_only() {
    for head in ["content-length: 100000000\r\n\r\n", "transfer-encoding: chunked\r\n\r\n", "\r\n"] {
        let sent = Arc::new(AtomicU64::new(0));
        let (told, tells) = std::sync::mpsc::channel();
        let count = Arc::clone(&sent);
        let server = Hostile::new(move |stream| {
            write!(stream, "HTTP/1.1 200 OK\r\n{head}")?;
            let piece = if head.starts_with("transfer") {
                [b"10000\r\n", [b' '; 0x10000].as_slice(), b"\r\n"].concat()
            } else {
                vec![b' '; 0x10000]
            };
            for _ in 0..1526 {
                if stream.write_all(&piece).is_err() {
                    break;
                }
                count.fetch_add(0x10000, Ordering::SeqCst);
            }
            told.send(()).map_err(std::io::Error::other)
        });
        let error = HttpClient::new(None).unwrap().get(&Request::new(server.url("http"))).unwrap_err();
        assert_eq!(error.result, FetchResult::TooLarge, "{head:?}: {error}");
        // What the client took and what fits into the sockets' buffers.
        tells.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(sent.load(Ordering::SeqCst) < 30_000_000, "{head:?}: {} bytes", sent.load(Ordering::SeqCst));
    }
}

#[test]
fn a_body_of_the_largest_size_is_read() {
    let most = usize::try_from(MAX_BODY).unwrap();
    let server = Replay::in_turn([Reply::ok(vec![b' '; most]), Reply::ok(vec![b' '; most + 1])]);
    assert_eq!(get(&server).unwrap().body.len(), most);
    assert_eq!(get(&server).unwrap_err().result, FetchResult::TooLarge);
}

#[test]
fn another_shape_with_200_is_a_decode_error_that_quotes_its_beginning() {
    let page = format!("<html>\r\n  <title>Down\u{7}</title>{}", "\u{e9}".repeat(1000));
    let server = Replay::in_turn([Reply::ok(page), Reply::ok(""), Reply::ok(b"\xff\xfe\0".to_vec())]);
    let errors: Vec<FetchError> =
        (0..3).map(|_| get(&server).unwrap().json::<Vec<u8>>().unwrap_err()).collect();
    assert!(errors.iter().all(|error| error.result == FetchResult::Decode));
    assert!(errors[0].text.contains("<html> <title>Down </title>\u{e9}"), "{}", errors[0]);
    assert!(errors[0].text.chars().count() < 300 && !errors[0].text.chars().any(char::is_control));
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Hostile::new(|_| Ok(()));
    for to in [elsewhere.url("http"), elsewhere.url("https"), "/x".to_owned(), "//127.0.0.1:1/".to_owned()] {
        for status in [301, 302, 303, 307, 308] {
            let server = Replay::new({
                let to = to.clone();
                move |_| Some(Reply::status(status, "").header("location", &to))
            });
            assert_eq!(get(&server).unwrap_err().result, FetchResult::Redirect, "{status} {to}");
            assert_eq!(server.asked().len(), 1, "{status} {to}");
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn no_connection_is_kept() {
    let (told, tells) = std::sync::mpsc::channel();
    let server = Hostile::new(move |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")?;
        told.send(stream.read(&mut [0])?).map_err(std::io::Error::other)
    });
    let client = HttpClient::new(None).unwrap();
    for _ in 0..2 {
        client.get(&Request::new(server.url("http"))).unwrap();
        assert_eq!(tells.recv_timeout(Duration::from_secs(20)), Ok(0));
    }
    assert_eq!(server.connections(), 2);
}

#[test]
fn only_a_certificate_of_a_trusted_authority_for_that_name_will_do() {
    let directory = tempfile::tempdir().unwrap();
    let (own, other) = (directory.path().join("own.pem"), directory.path().join("other.pem"));
    let good = Hostile::tls("127.0.0.1", Some(&own));
    let misnamed = Hostile::tls("other.example", Some(&other));
    let self_signed = Hostile::tls("127.0.0.1", None);
    let plain = Hostile::raw(|mut stream| {
        let _ = stream.read(&mut [0; 4096])?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    });

    // As deep a stack as a fetching thread has.
    let get = |server: &Hostile, ca_file: Option<&PathBuf>| {
        let (url, ca_file) = (server.url("https"), ca_file.cloned());
        let ask = move || HttpClient::new(ca_file.as_deref())?.get(&Request::new(url))?.ok();
        thread::Builder::new().stack_size(512 * 1024).spawn(ask).unwrap().join().unwrap()
    };
    assert_eq!(get(&good, Some(&own)).unwrap().json::<serde_json::Value>().unwrap(), serde_json::json!({}));
    for (what, server, ca_file) in [
        ("unknown to the web", &good, None),
        ("of another authority", &good, Some(&other)),
        ("for another name", &misnamed, Some(&other)),
        ("self-signed", &self_signed, None),
        ("no TLS", &plain, None),
    ] {
        let error = get(server, ca_file).unwrap_err();
        assert_eq!(error.result, FetchResult::Tls, "{what}: {error}");
        assert!(error.text.starts_with("https://127.0.0.1:"), "{what}: {error}");
    }
}

#[test]
fn a_file_of_authorities_must_have_some() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    for content in [None, Some(""), Some("-----BEGIN CERTIFICATE-----\n%%\n-----END CERTIFICATE-----\n")] {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let error = HttpClient::new(Some(&path)).unwrap_err();
        assert_eq!(error.result, FetchResult::File);
        assert!(error.text.contains("ca.pem"), "{error}");
    }
}

#[test]
fn nothing_confidential_is_told() {
    let token = "0123abcd-hunter2+/=%";
    let key = "Bearer hunter2-key";
    let encoded: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
    let echo = format!("{{\"bad\": \"{token} {encoded} {key}\"}}");
    let request = |address: String| {
        Request::new(address).query("securityToken", token).header("authorization", Secret::new(key))
    };
    let check = |text: String| {
        assert!(!text.contains("hunter2") && !text.contains("0123abcd"), "{text}");
    };
    for status in [200, 400, 500] {
        let server = Replay::in_turn([Reply::status(status, echo.clone())]);
        let request = request(server.url());
        check(format!("{request:?}"));
        let answer = HttpClient::new(None).unwrap().get(&request).unwrap();
        check(format!("{answer:?}"));
        check(answer.json::<Vec<u8>>().unwrap_err().text);
        check(answer.json::<std::collections::BTreeMap<String, u8>>().unwrap_err().text);
        check(answer.error(FetchResult::Decode).text);
        if let Err(error) = answer.ok() {
            check(error.text);
        }
    }
    let client = HttpClient::new(None).unwrap();
    check(format!("{client:?}"));
    for address in [
        "http://127.0.0.1:1/",
        "https://127.0.0.1:1/",
        "nonsense",
        "ftp://127.0.0.1/",
        "http://joe:hunter2@127.0.0.1/",
        "http://127.0.0.1:1/\u{1}",
    ] {
        let error = client.get(&request(address.to_owned())).unwrap_err();
        assert!([FetchResult::Network, FetchResult::Rejected].contains(&error.result), "{error}");
        check(error.text);
    }
    for header in ["hunter2\nx: y", "hunter2\u{0}"] {
        let request = Request::new("http://127.0.0.1:1/").header("auth-token", Secret::new(header));
        let error = client.get(&request).unwrap_err();
        assert_eq!(error.result, FetchResult::Rejected);
        check(error.text);
    }
}

#[test]
fn a_date_to_retry_at_is_compared_with_the_answers_own_clock_or_else_this_nodes() {
    let until = "Thu, 01 Jan 2026 00:02:00 GMT";
    let server = Replay::in_turn([
        Reply::status(429, "").header("retry-after", until).header("date", "Thu, 01 Jan 2026 00:01:30 GMT"),
        Reply::status(503, "").header("retry-after", until),
        Reply::status(429, "").header("retry-after", "86400"),
        Reply::status(429, "").header("retry-after", "tomorrow"),
        Reply::status(429, ""),
    ]);
    let client = HttpClient::new(None).unwrap();
    client.begin(NOW);
    let retry_afters: Vec<Option<u64>> = (0..5)
        .map(|_| client.get(&Request::new(server.url())).unwrap().ok().unwrap_err().retry_after)
        .map(|retry_after| retry_after.map(|time| time.as_secs()))
        .collect();
    assert_eq!(retry_afters, [Some(30), Some(120), Some(3600), None, None]);
}

#[test]
fn skew_is_remembered_for_one_round() {
    let early = "Wed, 31 Dec 2025 23:50:00 GMT";
    let server = Replay::in_turn([
        Reply::ok("{}").header("date", early),
        Reply::ok("{}"),
        Reply::ok("{}").header("date", early).header("age", "590"),
        Reply::ok("{}").header("date", early),
    ]);
    let client = HttpClient::new(None).unwrap();
    let get = || client.get(&Request::new(server.url())).unwrap();
    client.begin(NOW);
    assert_eq!(get().date, Some(NOW.before(Duration::from_secs(600))));
    assert_eq!(get().date, None);
    assert_eq!(client.skew(), Some(Duration::from_secs(600)));
    client.begin(NOW);
    assert_eq!(client.skew(), None);
    get();
    assert_eq!(client.skew(), None);
    // Nobody told it the time.
    let other = HttpClient::new(None).unwrap();
    other.get(&Request::new(server.url())).unwrap();
    assert_eq!(other.skew(), None);
}

#[test]
fn a_path_that_may_hold_a_key_is_not_told() {
    let server = Replay::in_turn([Reply::status(500, "no")]);
    let request = Request::without_path_in_messages(format!("{}/k/hunter2/v1?x=1", server.url()));
    let error = HttpClient::new(None).unwrap().get(&request).unwrap().ok().unwrap_err();
    assert_eq!(error.text, format!("{}: HTTP 500: no", server.url()));
    assert_eq!(server.asked()[0].target, "/k/hunter2/v1?x=1");
}
