use std::path::PathBuf;

use super::*;
use crate::meters::survey::ReaderSurvey;
use crate::meters::{Domain, MeterId, MeterSurvey, Quality};
use crate::workloads::hierarchy::Hierarchy;

fn v2(mount: PathBuf) -> Hierarchy {
    Hierarchy { version: Version::V2, mount, root: "/".to_owned(), controllers: Vec::new() }
}

fn survey() -> Survey {
    Survey { meters: Vec::new(), readers: Vec::new(), estimate: None }
}

fn zone(denied: bool) -> MeterSurvey {
    MeterSurvey {
        id: MeterId { meter: "rapl", domain: Domain::Package, device: "intel-rapl:0".into() },
        quality: Quality::Measured,
        path: None,
        error: None,
        denied,
        remedy: None,
    }
}

#[test]
fn the_memory_controller_is_found_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let procfs = dir.path().join("proc");
    let sysfs = dir.path().join("sys");
    let base = sysfs.join("fs/cgroup");
    fs::create_dir_all(&procfs).unwrap();
    fs::create_dir_all(base.join("part")).unwrap();
    fs::write(base.join("part/cgroup.type"), "domain\n").unwrap();
    let none = Layout::default();
    let unified = Layout { cpu: Some(v2(base.clone())), ..Layout::default() };
    let part = Layout { cpu: Some(v2(base.join("part"))), ..Layout::default() };
    let control = base.join("cgroup.subtree_control").display().to_string();
    let place = base.join("memory").display().to_string();
    let table: [(&Layout, &str, &str, String); 7] = [
        (
            &none,
            "cpu\t1\t1\t1\nmemory\t4\t8\t1",
            "held by v1 hierarchy 4",
            format!("mount it: `mkdir -p {place} && mount -t cgroup -o memory cgroup {place}`"),
        ),
        (&none, "pids\t4\t1\t1\nmemory\t4\t8\t1", "hierarchy 4", format!("-o pids,memory cgroup {place}`")),
        (
            &unified,
            "memory\t4\t8\t1",
            "held by v1 hierarchy 4",
            "mount -t cgroup -o memory cgroup /run/cgroup-memory`".to_owned(),
        ),
        (
            &unified,
            "memory\t0\t8\t0",
            "disabled since boot",
            "boot without `cgroup_disable=memory`".to_owned(),
        ),
        (&unified, "memory\t0\t8\t1", "doesn't have", format!("`echo +memory > {control}`")),
        (&part, "memory\t0\t8\t1", "from above", "on the host, `echo +memory >".to_owned()),
        (&unified, "cpu\t0\t8\t1", "no memory controller", "CONFIG_MEMCG".to_owned()),
    ];
    for (layout, rows, text, remedy) in table {
        let header = "#subsys_name\thierarchy\tnum_cgroups\tenabled";
        fs::write(procfs.join("cgroups"), format!("{header}\n{rows}\n")).unwrap();
        let finding = memory(&procfs, &sysfs, layout).unwrap();
        assert!(!finding.ok && finding.text.contains(text), "{rows}: {}", finding.text);
        let found = finding.remedy.unwrap();
        assert!(found.contains(&remedy), "{rows}: {found} isn't {remedy}");
        assert_eq!(found.contains("boot"), remedy.contains("boot") || text.contains("no memory"), "{found}");
    }

    let mut with_memory = unified.clone();
    with_memory.memory = with_memory.cpu.clone();
    fs::write(base.join("cgroup.subtree_control"), "cpu pids\n").unwrap();
    let finding = memory(&procfs, &sysfs, &with_memory).unwrap();
    assert_eq!(finding.remedy, Some(format!("`echo +memory > {control}`")));
    fs::write(base.join("cgroup.subtree_control"), "cpu memory\n").unwrap();
    assert!(memory(&procfs, &sysfs, &with_memory).is_none());
}

#[test]
fn what_is_switched_off_is_one_line_and_nothing_else() {
    let mut settings = Settings::default();
    settings.collector.cgroup = false;
    let report = cgroups(&settings, &Layout::default(), &[], None);
    let [finding] = report.findings.as_slice() else { panic!("{report:?}") };
    assert!(finding.ok && finding.remedy.is_none());
    assert_eq!(finding.text, "switched off (collector.cgroup)");

    let dir = tempfile::tempdir().unwrap();
    settings.path.sysfs = dir.path().to_owned();
    settings.collector.rapl = false;
    settings.collector.hwmon = false;
    settings.collector.estimate = false;
    let found = readers(&settings, &survey());
    let texts: Vec<&str> = found.iter().map(|finding| &*finding.text).collect();
    let expected = ["rapl", "hwmon", "estimate"].map(|name| format!("switched off (collector.{name})"));
    assert_eq!(texts, expected);
    let text = advice(&settings.collector);
    assert!(text.contains("--collector.rapl, --collector.hwmon, --collector.estimate"), "{text}");
    assert!(advice(&Collectors::default()).contains("model.cpu_tdp_watts"));
}

#[test]
fn the_right_to_read_counters_is_asked_for_only_where_it_is_missed() {
    let settings = Settings::default();
    let none = survey();
    let readable = Survey { meters: vec![zone(false)], ..survey() };
    let denied = Survey { meters: vec![zone(true), zone(true), zone(false)], ..survey() };
    let closed =
        ReaderSurvey { name: "rapl", path: PathBuf::new(), error: String::new(), denied: true, remedy: None };
    let closed = Survey { readers: vec![closed], ..survey() };
    for (held, survey, ok, text, remedy) in [
        (true, &none, true, "held", None),
        (true, &denied, false, "held, but 2", Some("audit log")),
        (false, &none, true, "not needed here: there is no /sys/class/powercap", None),
        (false, &readable, true, "can be read without it", None),
        (false, &denied, false, "not held: 2 of", Some("`sudo setcap cap_dac_read_search+ep /opt/w`")),
        (false, &closed, false, "not held: 1 of", Some("`sudo setcap cap_dac_read_search+ep /opt/w`")),
    ] {
        let finding = reading(held, &settings, survey, "/opt/w");
        assert!(finding.ok == ok && finding.text.contains(text), "{finding:?}");
        assert_eq!(finding.remedy.is_some(), remedy.is_some(), "{finding:?}");
        let found = finding.remedy.unwrap_or_default();
        assert!(found.contains(remedy.unwrap_or_default()), "{found}");
    }
    assert_eq!(quoted("/opt/it's here/w"), "'/opt/it'\\''s here/w'");
}

#[test]
fn a_directory_that_is_missing_is_told_as_that() {
    let mut settings = Settings::default();
    settings.path.sysfs = "/nonexistent".into();
    let found = readers(&settings, &survey());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].text.contains("/nonexistent doesn't exist"), "{found:?}");
    assert!(found[0].remedy.as_deref().unwrap_or_default().contains("path.sysfs"), "{found:?}");
}
