use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn names(tree: &CgroupTree) -> Vec<String> {
    tree.iter()
        .filter(|node| node.is_measured && !node.vanished)
        .map(|node| tree.relative_path(node).to_string_lossy().into_owned())
        .collect()
}

fn owner_kind_count(owners: &OwnerTable, ids: &[OwnerId]) -> usize {
    ids.iter().filter(|id| owners.is_live(**id)).count()
}

#[test]
fn borders_what_leads_to_them_and_what_stands_beside_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["empty/deep", &format!("docker/{ID}/nested/more"), "system.slice/a.service/sub", "x/y"] {
        fs::create_dir_all(dir.path().join(path)).unwrap();
    }
    let mut owners = OwnerTable::new(100);
    let mut tree = CgroupTree::new(dir.path().to_owned(), "/", 1000, 0);
    tree.sync(&mut owners, false).unwrap();
    let mut found = names(&tree);
    found.sort();
    let container = format!("docker/{ID}");
    assert_eq!(found, ["", "docker", &container, "empty", "system.slice", "system.slice/a.service", "x"]);
    assert!(tree.iter().all(|node| !node.fresh), "what was there at the start is not new");
    assert_eq!(tree.find(&format!("docker/{ID}/nested")).unwrap().directory, dir.path().join(&container));
}

#[test]
fn one_that_comes_for_each_that_goes_is_found_at_once() {
    const UID: &str = "01234567-89ab-4def-8123-456789abcde";
    let dir = tempfile::tempdir().unwrap();
    let pod = |number: u32| format!("kubepods/pod{UID}{number}");
    fs::create_dir_all(dir.path().join(pod(0)).join(ID)).unwrap();
    let mut owners = OwnerTable::new(100);
    let mut tree = CgroupTree::new(dir.path().to_owned(), "/", 1000, 0);
    tree.sync(&mut owners, false).unwrap();
    for number in 1..4 {
        fs::remove_dir_all(dir.path().join(pod(number - 1))).unwrap();
        fs::create_dir_all(dir.path().join(pod(number)).join(ID)).unwrap();
        tree.sync(&mut owners, false).unwrap();
        assert!(tree.find(&pod(number)).is_some_and(|node| node.is_border && node.fresh), "{number}");
        let container = format!("{}/{ID}", pod(number));
        assert!(tree.holds(Path::new(&container)), "{number}");
        assert!(!tree.holds(Path::new(&pod(number - 1))), "{number}");
    }
}

#[test]
fn new_and_removed_cgroups_are_found_by_the_link_count() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("system.slice")).unwrap();
    let mut owners = OwnerTable::new(100);
    let mut tree = CgroupTree::new(dir.path().to_owned(), "/", 1000, 0);
    tree.sync(&mut owners, false).unwrap();
    assert_eq!(names(&tree), [""]);
    fs::create_dir_all(dir.path().join("system.slice/a.service")).unwrap();
    tree.sync(&mut owners, false).unwrap();
    let node = tree.find("system.slice/a.service").unwrap();
    assert!(node.fresh && node.is_border);
    let (id, owner) = (node.id, node.owner);
    fs::remove_dir(dir.path().join("system.slice/a.service")).unwrap();
    tree.sync(&mut owners, false).unwrap();
    assert!(tree.get(id).is_none());
    assert!(tree.node(id.index()).is_some_and(|node| node.vanished), "it is shown for one more tick");
    assert_eq!(owner_kind_count(&owners, &[owner]), 0);
    tree.sync(&mut owners, false).unwrap();
    assert!(tree.node(id.index()).is_none());
}

#[test]
fn a_cgroup_that_takes_the_place_of_another_is_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a.service")).unwrap();
    let mut owners = OwnerTable::new(100);
    let mut tree = CgroupTree::new(dir.path().to_owned(), "/", 1000, 0);
    tree.sync(&mut owners, false).unwrap();
    let old = tree.find("a.service").unwrap().id;
    let added = tree.replace_gone(&[old.index()], &mut owners);
    assert_eq!(added.len(), 1);
    let new = tree.find("a.service").unwrap();
    assert_ne!(new.id, old);
    assert!(new.fresh);
    assert!(owners.is_live(new.owner));
}

#[test]
fn owners_beyond_the_cap_get_their_own_account_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.service", "b.service"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    let mut owners = OwnerTable::new(1);
    let mut tree = CgroupTree::new(dir.path().to_owned(), "/", 1000, 0);
    tree.sync(&mut owners, false).unwrap();
    let own = tree.iter().find(|node| node.is_border && !node.owner.is_shared()).unwrap();
    let (own_id, own_dir) = (own.owner, own.directory.clone());
    fs::remove_dir(own_dir).unwrap();
    tree.sync(&mut owners, true).unwrap();
    owners.release(own_id);
    tree.sync(&mut owners, true).unwrap();
    assert!(tree.iter().filter(|node| node.is_border).all(|node| !node.owner.is_shared()));
}

#[test]
fn the_number_of_cgroups_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..50 {
        fs::create_dir_all(dir.path().join(format!("{number}.service"))).unwrap();
    }
    let mut tree = CgroupTree::new(dir.path().to_owned(), "/", 10, 0);
    tree.sync(&mut OwnerTable::new(100), false).unwrap();
    assert!(tree.is_capped());
    assert_eq!(tree.iter().count(), 10);
}

#[test]
fn a_missing_root_is_an_error() {
    let mut tree = CgroupTree::new(PathBuf::from("/nonexistent/cgroup"), "/", 10, 0);
    assert!(tree.sync(&mut OwnerTable::new(10), false).is_err());
}

#[test]
fn a_directory_that_cant_be_listed_is_not_taken_for_removed() {
    let other = io::Error::from_raw_os_error(nix::errno::Errno::EACCES as i32);
    assert!(!is_gone(&other));
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a.service")).unwrap();
    let mut owners = OwnerTable::new(100);
    let mut tree = CgroupTree::new(dir.path().to_owned(), "/", 1000, 0);
    tree.sync(&mut owners, false).unwrap();
    let id = tree.find("a.service").unwrap().id;
    tree.lose(id.index(), &other, &mut owners);
    assert!(tree.get(id).is_some());
    assert!(tree.failure().is_some_and(|text| text.contains("a.service")));
    tree.lose(id.index(), &io::Error::from_raw_os_error(nix::errno::Errno::ENODEV as i32), &mut owners);
    assert!(tree.get(id).is_none());
}
