use super::*;
use proptest::prelude::*;

const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
";

#[test]
fn a_hybrid_layout_accounts_cpu_on_v1_and_keeps_v2_beside_it() {
    let layout = choose(&parse_mountinfo(HYBRID, Path::new("/sys")));
    assert_eq!(layout.to_string(), "hybrid");
    assert_eq!(layout.cpu.map(|h| h.mount), Some("/sys/fs/cgroup/cpu,cpuacct".into()));
    assert_eq!(layout.second_cpu.map(|h| h.mount), Some("/sys/fs/cgroup/unified".into()));
    assert_eq!(layout.memory.map(|h| h.mount), Some("/sys/fs/cgroup/memory".into()));
}

#[test]
fn a_pure_v2_layout() {
    let text = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    let layout = choose(&parse_mountinfo(text, Path::new("/sys")));
    assert_eq!(layout.to_string(), "v2");
    assert_eq!(layout.second_cpu, None);
}

#[test]
fn the_host_tree_wins_over_the_containers_own() {
    let text = "\
50 40 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup ro
60 40 0:26 /../../.. /host/sys/fs/cgroup ro - cgroup2 cgroup2 ro
";
    let layout = choose(&parse_mountinfo(text, Path::new("/host/sys")));
    assert_eq!(layout.cpu.map(|h| h.mount), Some("/host/sys/fs/cgroup".into()));
}

#[test]
fn a_fixture_tree_moves_the_mount_points() {
    let found = parse_mountinfo(HYBRID, Path::new("/tmp/fixture"));
    assert!(found.iter().all(|h| h.mount.starts_with("/tmp/fixture/fs/cgroup")));
}

#[test]
fn without_mounts_the_usual_places_are_probed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("fs/cgroup")).unwrap();
    assert_eq!(discover(Path::new("/nonexistent"), dir.path()), Layout::default());
    fs::write(dir.path().join("fs/cgroup/cgroup.controllers"), "cpu memory\n").unwrap();
    let layout = discover(Path::new("/nonexistent"), dir.path());
    assert_eq!(layout.to_string(), "v2");
    assert!(layout.memory.is_some());
}

#[test]
fn paths_are_taken_relative_to_the_mount() {
    let mut hierarchy = Hierarchy {
        version: Version::V1,
        mount: "/sys/fs/cgroup/cpuacct".into(),
        root: "/".to_owned(),
        controllers: vec!["cpuacct".to_owned()],
    };
    assert_eq!(hierarchy.relative("/a/b"), "a/b");
    assert_eq!(hierarchy.relative("/"), "");
    assert_eq!(hierarchy.relative("/../../a"), "a");
    assert_eq!(hierarchy.relative("/..data/a"), "..data/a");
    hierarchy.root = "/docker/abc".to_owned();
    assert_eq!(hierarchy.relative("/docker/abc/x"), "x");
    assert_eq!(hierarchy.relative("/docker/abcd/x"), "docker/abcd/x");
    assert!(hierarchy.matches("2", "cpu,cpuacct"));
    assert!(!hierarchy.matches("0", ""));
}

#[test]
fn octal_escapes_are_decoded() {
    assert_eq!(unescape("/a\\040b"), "/a b");
    assert_eq!(unescape("/a\\0"), "/a\\0");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*", point in "[-/a \\\\0-9.\n]*") {
        let line = format!("1 2 0:1 {point} {point} rw - cgroup2 c rw\n{text}");
        for hierarchy in parse_mountinfo(&line, Path::new("/sys")) {
            let _ = hierarchy.relative(&text);
        }
    }
}
