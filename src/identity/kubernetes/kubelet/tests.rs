use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use super::*;

/// A kubelet that answers once, and gives what it was asked.
fn kubelet(answer: Vec<u8>) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let asked = thread::spawn(move || {
        let mut reader = BufReader::new(listener.accept().unwrap().0);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).unwrap(), 0);
        }
        // Whoever has read enough goes away.
        let _ = reader.into_inner().write_all(&answer);
        head
    });
    (url, asked)
}

fn ask(answer: &[u8], token_file: Option<PathBuf>) -> (Result<Vec<Sighting>, IdentityError>, String) {
    let (kubelet_url, asked) = kubelet(answer.to_vec());
    let settings = Kubernetes { kubelet_url, kubelet_token_file: token_file, ..Kubernetes::default() };
    let seen = Kubelet::new(&settings).read(&Selection::default());
    (seen, asked.join().unwrap())
}

fn says(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n{body}").into_bytes()
}

#[test]
fn its_list_names_static_pods_too() {
    let directory = tempfile::tempdir().unwrap();
    let token_file = directory.path().join("token");
    std::fs::write(&token_file, "secret\n").unwrap();
    let list = r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[
        {"metadata":{"name":"etcd-n1","namespace":"kube-system","uid":"c0ffee00c0ffee00c0ffee00c0ffee00",
            "annotations":{"kubernetes.io/config.hash":"c0ffee00c0ffee00c0ffee00c0ffee00"}},
         "spec":{"nodeName":"n1","containers":[{"name":"etcd","image":"etcd:3"}]},
         "status":{"containerStatuses":[{"name":"etcd","containerID":"containerd://e1"}]}},
        {"metadata":null}]}"#;
    let (seen, asked) = ask(&says("200 OK", list), Some(token_file));
    assert!(asked.starts_with("GET /pods HTTP/1.1\r\n"), "{asked}");
    assert!(asked.to_lowercase().contains("authorization: bearer secret\r\n"), "{asked}");
    let [etcd] = &seen.unwrap()[..] else { panic!("not one pod") };
    assert_eq!(etcd.uids, ["c0ffee00c0ffee00c0ffee00c0ffee00".into()]);
    assert_eq!((&*etcd.containers[0].0, &*etcd.containers[0].1.container), ("e1", "etcd"));
}

#[test]
fn an_ipv6_address_needs_no_brackets() {
    for (given, meant) in [
        ("https://fd00::7:10250", "https://[fd00::7]:10250"),
        ("https://fd00::7:10250/x:y", "https://[fd00::7]:10250/x:y"),
        ("https://[fd00::7]:10250/", "https://[fd00::7]:10250/"),
        ("https://10.0.0.7:10250", "https://10.0.0.7:10250"),
        ("https://node-7:10250", "https://node-7:10250"),
        ("https://node-7", "https://node-7"),
        ("", ""),
    ] {
        assert_eq!(bracketed(given), meant);
    }
}

#[test]
fn failures_say_what_would_mend_them() {
    for (answer, reason) in [
        (says("403 Forbidden", ""), "the kubelet refuses this account"),
        (says("401 Unauthorized", ""), "the kubelet refuses this account"),
        (says("500 Oops", ""), "the kubelet answers with an error"),
        (says("302 Found\r\nlocation: http://127.0.0.1:1/", ""), "the kubelet answers with an error"),
        (says("200 OK", "{\"items\":[{"), "the kubelet's answer can't be read"),
        (says("200 OK", "[[["), "the kubelet's answer can't be read"),
        (b"garbage\r\n\r\n".to_vec(), "the kubelet can't be reached"),
    ] {
        assert_eq!(ask(&answer, None).0.unwrap_err().reason, reason);
    }
}

#[test]
fn without_credentials_nothing_is_asked_over_tls() {
    let settings = Kubernetes { kubelet_ca_file: Some("/nonexistent".into()), ..Kubernetes::default() };
    let error = Kubelet::new(&settings).read(&Selection::default()).unwrap_err();
    assert_eq!(error.reason, "the credentials for the kubelet can't be read");
    assert!(error.remedy.unwrap().contains("kubernetes.kubelet_ca_file"));
}
