//! How long names stay, and that they stay where they are.

use std::sync::Arc;
use std::time::Duration;

use crate::identity::kubernetes::roster::Roster;
use crate::identity::kubernetes::sighting::Sighting;
use crate::identity::{ContainerFacts, Details, PodFacts};

const GRACE: Duration = Duration::from_secs(100);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn pod(key: &str, phase: &str, ids: &[&str]) -> Sighting {
    let details = Details { phase: phase.into(), ..Details::default() };
    let container = |id: &&str| {
        let details = details.clone();
        ((*id).into(), ContainerFacts { pod: key.into(), details, ..ContainerFacts::default() })
    };
    Sighting {
        key: key.into(),
        uids: vec![key.into(), format!("hash-{key}").into()],
        facts: PodFacts { pod: key.into(), details: details.clone(), ..PodFacts::default() },
        containers: ids.iter().map(container).collect(),
    }
}

#[test]
fn what_has_not_changed_stays_where_it_is() {
    let mut roster = Roster::new(GRACE);
    roster.replace(vec![pod("a", "", &["a1", "a2"]), pod("b", "", &["b1"])], at(0));
    let first = roster.take_news().unwrap();
    assert_eq!((first.pods.len(), first.containers.len()), (4, 3));
    roster.replace(vec![pod("a", "", &["a2", "a1"]), pod("b", "", &["b1"])], at(1));
    assert!(roster.take_news().is_none(), "the same again");
    roster.apply(pod("b", "training", &["b1"]), at(2));
    let second = roster.take_news().unwrap();
    assert!(Arc::ptr_eq(&first.containers["a1"], &second.containers["a1"]));
    assert!(Arc::ptr_eq(&first.pods["a"], &second.pods["hash-a"]));
    assert_eq!(&*second.containers["b1"].details.phase, "training");
}

#[test]
fn the_departed_keep_their_names_for_a_while() {
    let mut roster = Roster::new(GRACE);
    roster.apply(pod("a", "", &["a1"]), at(0));
    roster.apply(pod("a", "", &["a2"]), at(10));
    let names = roster.take_news().unwrap();
    assert!(names.containers.contains_key("a1") && names.containers.contains_key("a2"), "a restart");
    roster.replace(Vec::new(), at(50));
    roster.expire(at(109));
    assert!(roster.is_empty() && roster.take_news().is_none(), "what is departed is still known");
    roster.expire(at(110));
    let names = roster.take_news().unwrap();
    assert!(!names.containers.contains_key("a1") && names.containers.contains_key("a2"));
    assert!(names.pods.contains_key("hash-a"));
    roster.expire(at(150));
    let names = roster.take_news().unwrap();
    assert_eq!((names.pods.len(), names.containers.len()), (0, 0));
}

#[test]
fn a_pod_that_is_made_again_under_the_same_hash_wins() {
    let mut roster = Roster::new(GRACE);
    let again = |key: &str, phase: &str| {
        let pod = pod(key, phase, &["a1"]);
        Sighting { uids: vec![key.into(), "hash".into()], ..pod }
    };
    roster.apply(again("a", "old"), at(0));
    roster.remove("a", at(1));
    roster.apply(again("b", "new"), at(2));
    let names = roster.take_news().unwrap();
    assert_eq!(&*names.pods["hash"].details.phase, "new");
    assert_eq!(&*names.containers["a1"].details.phase, "new");
    assert_eq!(&*names.pods["a"].details.phase, "old");
}

#[test]
fn there_are_only_so_many_departed() {
    let mut roster = Roster::new(GRACE);
    for number in 0..30_000 {
        roster.apply(pod("a", "", &[&format!("c{number}")]), at(1));
    }
    assert_eq!(roster.take_news().unwrap().containers.len(), 20_001);
}
