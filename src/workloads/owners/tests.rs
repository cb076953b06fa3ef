use super::*;
use crate::workloads::owner::Runtime;

fn unit(name: &str) -> Owner {
    Owner::Unit { unit: name.into() }
}

#[test]
fn the_same_owner_keeps_its_number_until_it_is_released() {
    let mut table = OwnerTable::new(10);
    let first = table.acquire(unit("a.service"));
    assert_eq!(table.acquire(unit("a.service")), first);
    table.leave(first);
    assert!(table.is_live(first));
    table.release(first);
    assert!(table.get(first).is_some(), "an owner with a cgroup is not forgotten");
    table.leave(first);
    assert!(!table.is_live(first));
    assert_eq!(table.acquire(unit("a.service")), first, "it came back before it was released");
    table.leave(first);
    table.release(first);
    assert_eq!(table.get(first), None);
    assert_eq!(table.acquire(unit("b.service")), first, "the number is used again");
}

#[test]
fn a_container_is_one_owner_whether_its_cgroup_names_the_pod_or_not() {
    let container = |pod_uid: &str| Owner::Container {
        runtime: Runtime::Crio,
        id: "abc".into(),
        name: "".into(),
        pod_uid: pod_uid.into(),
    };
    let mut table = OwnerTable::new(10);
    let monitor = table.acquire(container(""));
    let own = table.acquire(container("uid"));
    assert_eq!(monitor, own);
    assert_eq!(table.get(own).map(|owner| (**owner).clone()), Some(container("uid")));
    assert_eq!(table.acquire(container("")), own);
    for _ in 0..3 {
        table.leave(own);
    }
    table.release(own);
    assert!(table.ids.is_empty() && table.containers.is_empty());
    assert_eq!(table.acquire(container("")), own, "nothing of it is left");
    assert_eq!(table.get(own).map(|owner| (**owner).clone()), Some(container("")));
}

#[test]
fn beyond_the_cap_owners_share_an_account_of_their_family() {
    let mut table = OwnerTable::new(1);
    assert!(!table.acquire(unit("a.service")).is_shared());
    let over = table.acquire(unit("b.service"));
    assert_eq!(over, OwnerId::overflow(OwnerKind::Unit));
    assert!(over.is_shared());
    assert_eq!(table.kind(over), OwnerKind::Unit);
    assert_eq!(table.acquire(Owner::System), OwnerId::SYSTEM);
    assert!(!table.has_room());
}
