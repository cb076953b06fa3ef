//! One capability is enough, what is hidden stays hidden, and drop-ins give what they say.

use crate::machine::{Machine, PATIENCE};
use crate::{skip, wait_for};

/// The bits of /proc/PID/status.
const DAC_OVERRIDE: u64 = 1 << 1;
const DAC_READ_SEARCH: u64 = 1 << 2;
const SYS_PTRACE: u64 = 1 << 19;
const SYS_ADMIN: u64 = 1 << 21;

/// A package's counter that only root may read, beside the real cgroups.
const RAPL: &str = "/srv/sys/class/powercap/intel-rapl:0";
const RAPL_TREE: &str = "mkdir -p /srv/sys/class/powercap/intel-rapl:0 /srv/sys/fs/cgroup
    cd /srv/sys/class/powercap/intel-rapl:0 && echo package-0 >name && echo 262143328850 >max_energy_range_uj &&
    echo 1000000 >energy_uj && chmod 0400 energy_uj
    echo 'WATTPRINT_OPTS=--path.sysfs=/srv/sys' >/etc/default/wattprint";
const REAL_CGROUPS: &str = "[Service]\nBindReadOnlyPaths=/sys/fs/cgroup:/srv/sys/fs/cgroup\n";
const METER: &[(&str, &str)] = &[("meter", "rapl"), ("device", "intel-rapl:0")];

/// What listens where the kubelet would, and ends each connection.
const KUBELET_SOCKET: &str = "[Socket]\nListenStream=/var/lib/kubelet/pod-resources/kubelet.sock\n\
                              SocketMode=0600\nDirectoryMode=0750\nAccept=yes\n";
const KUBELET: &str = "[Service]\nStandardInput=socket\nExecStart=/bin/true\n";

/// What writes down a request, and answers that all is well.
const GRID_SOCKET: &str = "[Socket]\nListenStream=127.0.0.1:8099\nAccept=yes\n";
const GRID: &str = "[Service]\nStandardInput=socket\nStandardOutput=socket\nExecStart=/bin/sh -c 'while read -r line; do \
                    [ $${#line} -gt 1 ] || break; echo \"$$line\" >>/run/asked; done; \
                    printf \"HTTP/1.1 200 OK\\\\r\\\\nContent-Length: 2\\\\r\\\\nConnection: close\\\\r\\\\n\\\\r\\\\n[]\"'\n";
const GRID_CONFIG: &str = "[carbon]\nzone = \"DE\"\nstartup_spread = \"0s\"\n[[carbon.source]]\nprovider = \"http\"\n\
                           url = \"http://127.0.0.1:8099/\"\nbasis = \"direct\"\nitems = \"\"\nvalue = \"/v\"\nstart = \"/t\"\n\
                           step = \"30m\"\nunit = \"g/kWh\"\nheader = \"X-Api-Key\"\ntoken_file = \"grid\"\n";

fn status(machine: &Machine, key: &str) -> String {
    let pid = machine.property("MainPID");
    let status = machine.run(&["cat", &format!("/proc/{pid}/status")]);
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{key}:")));
    line.unwrap_or_else(|| panic!("{key}: {status}")).trim().to_owned()
}

fn assert_capabilities(machine: &Machine, expected: u64) {
    for set in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let seen = u64::from_str_radix(&status(machine, set), 16).unwrap();
        assert_eq!(seen, expected, "{set}: {seen:#x}");
    }
    let uid: u32 = status(machine, "Uid").split_whitespace().next().unwrap().parse().unwrap();
    assert!((61184..=65519).contains(&uid), "uid {uid} isn't a dynamic user's");
    assert_eq!((status(machine, "NoNewPrivs"), status(machine, "Seccomp")), ("1".into(), "2".into()));
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn the_units_are_clean_and_little_exposed() {
    let machine = Machine::serving("");
    let verify = ["systemd-analyze", "--man=no", "verify", "wattprint.service", "wattprint.socket"];
    let is_clean = |machine: &Machine| {
        let output = machine.output(&verify);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{said}");
    };
    is_clean(&machine);
    machine.run(&["systemd-analyze", "--no-pager", "security", "--threshold=20", "wattprint.service"]);
    for name in machine.run(&["ls", "/usr/share/wattprint/dropins"]).lines() {
        machine.enable_drop_in(name.strip_suffix(".conf").unwrap());
        is_clean(&machine);
    }
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn it_has_one_capability_and_drop_ins_give_what_they_say() {
    let machine = Machine::serving("");
    assert_capabilities(&machine, DAC_READ_SEARCH);
    // The daemon's own filter comes on top.
    let journal = machine.journal();
    assert!(!journal.contains("stay open"), "{journal}");
    let mut expected = DAC_READ_SEARCH;
    for (name, more) in [("ptrace", SYS_PTRACE), ("gpm", SYS_ADMIN), ("podresources", DAC_OVERRIDE)] {
        machine.enable_drop_in(name);
        machine.run(&["systemctl", "restart", "wattprint"]);
        expected |= more;
        assert_capabilities(&machine, expected);
        assert!(machine.get("/metrics").is_some(), "{name}: {}", machine.journal());
    }
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn the_capability_is_what_reads_the_counters_of_root() {
    let machine = Machine::serving("");
    machine.shell(RAPL_TREE);
    machine.drop_in("cgroups", REAL_CGROUPS);
    machine.run(&["systemctl", "restart", "wattprint"]);
    let mut counter = 1_000_000_u64;
    wait_for("energy of the package", PATIENCE, || {
        counter += 1_000_000;
        machine.shell(&format!("echo {counter} >{RAPL}/energy_uj"));
        let scrape = machine.scrape();
        let read = scrape.select("wattprint_meter_energy_joules_total", METER);
        read.iter().any(|sample| sample.value > 0.0).then_some(())
    });
    assert_eq!(machine.run(&["stat", "--format=%a %U", &format!("{RAPL}/energy_uj")]), "400 root");
    // Without it nothing is read, and a metric says why.
    machine.drop_in("none", "[Service]\nAmbientCapabilities=\nCapabilityBoundingSet=\n");
    machine.run(&["systemctl", "restart", "wattprint"]);
    assert_capabilities(&machine, 0);
    let scrape = machine.scrape();
    assert_eq!(scrape.value("wattprint_collector_success", &[("collector", "rapl")]), 0.0);
    assert_eq!(scrape.select("wattprint_meter_energy_joules_total", METER).len(), 0);
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn the_tree_is_read_only_and_secrets_are_hidden() {
    let machine = Machine::serving("");
    machine
        .shell("mkdir -p /home/ada /etc/ssh && echo containers >/home/ada/storage && echo key >/etc/ssh/key && echo tensor >/dev/shm/tensor && mount -t tmpfs disk /mnt");
    machine.run(&["systemctl", "restart", "wattprint"]);
    let pid = machine.property("MainPID");
    let inside = |script: &str| {
        let output = machine.output(&["nsenter", "--mount", "--target", &pid, "sh", "-c", script]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(inside("cat /home/ada/storage"), "containers");
    assert_eq!(inside("cat /etc/shadow /etc/gshadow; cat /etc/ssh/key /dev/shm/tensor"), "");
    for path in [
        "/etc/new",
        "/home/ada/new",
        "/usr/new",
        "/run/new",
        "/run/lock/new",
        "/var/lib/new",
        "/mnt/new",
        "/dev/shm/new",
    ] {
        assert_eq!(inside(&format!("touch {path} && echo written")), "", "{path}");
    }
    assert_eq!(inside("touch /var/lib/wattprint/new && echo written"), "written");
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn devices_of_others_are_closed() {
    let machine = Machine::serving("");
    // Major and minor numbers without a driver here: that of nvidiactl, and one for local use.
    machine.shell("mknod -m 0666 /srv/nvidiactl c 195 255 && mknod -m 0666 /srv/other c 240 0");
    let closed = ["systemd-run", "--quiet", "--wait", "--pipe", "--property=DevicePolicy=closed"];
    let output = machine.output(&[&closed[..], &["head", "-c1", "/srv/other"]].concat());
    if !String::from_utf8_lossy(&output.stderr).contains("Operation not permitted") {
        return skip("devices_of_others_are_closed", "this kernel doesn't let systemd close devices");
    }
    machine.drop_in(
        "devices",
        "[Service]\nExecStartPre=-/bin/head -c1 /srv/nvidiactl\nExecStartPre=-/bin/head -c1 /srv/other\n",
    );
    machine.run(&["systemctl", "restart", "wattprint"]);
    let journal = machine.journal();
    assert!(journal.contains("'/srv/nvidiactl' for reading: No such device or address"), "{journal}");
    assert!(journal.contains("'/srv/other' for reading: Operation not permitted"), "{journal}");
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn a_token_comes_by_a_credential() {
    let machine = Machine::serving("");
    machine.write("/etc/systemd/system/grid.socket", GRID_SOCKET);
    machine.write("/etc/systemd/system/grid@.service", GRID);
    machine.write("/etc/wattprint/grid", "secret-of-the-grid\n");
    machine.run(&["chmod", "0600", "/etc/wattprint/grid"]);
    machine.configure(GRID_CONFIG);
    machine.drop_in("token", "[Service]\nLoadCredential=grid:/etc/wattprint/grid\n");
    machine.run(&["systemctl", "start", "grid.socket"]);
    machine.run(&["systemctl", "restart", "wattprint"]);
    let asked = wait_for("a request with the token", PATIENCE, || {
        let asked = machine.output(&["cat", "/run/asked"]);
        let asked = String::from_utf8_lossy(&asked.stdout).to_lowercase();
        asked.contains("x-api-key").then_some(asked)
    });
    assert!(asked.contains("x-api-key: secret-of-the-grid"), "{asked}");
    assert!(!machine.journal().contains("secret-of-the-grid"));
    // As the unit's comments say: with a path it must be there, without one it need not.
    machine.run(&["rm", "/etc/wattprint/grid"]);
    assert!(!machine.output(&["systemctl", "restart", "wattprint"]).status.success());
    machine.drop_in("token", "[Service]\nLoadCredential=grid\n");
    machine.run(&["systemctl", "restart", "wattprint"]);
    assert_eq!(machine.property("ActiveState"), "active");
}

#[test]
#[ignore = "boots a machine: make test-system"]
fn the_kubelets_socket_opens_with_its_drop_in() {
    let reason = |machine: &Machine| {
        wait_for("what becomes of the kubelet's socket", PATIENCE, || {
            let scrape = machine.scrape();
            let errors =
                scrape.select("wattprint_collector_last_error_info", &[("collector", "podresources")]);
            errors.first().map(|sample| sample.labels["reason"].clone())
        })
    };
    let machine = Machine::serving("");
    machine.write("/etc/systemd/system/kubelet.socket", KUBELET_SOCKET);
    machine.write("/etc/systemd/system/kubelet@.service", KUBELET);
    machine.run(&["systemctl", "start", "kubelet.socket"]);
    machine.run(&["systemctl", "restart", "wattprint"]);
    let closed = reason(&machine);
    machine.enable_drop_in("podresources");
    machine.run(&["systemctl", "restart", "wattprint"]);
    let open = reason(&machine);
    assert!(
        closed.to_lowercase().contains("permission") && !open.to_lowercase().contains("permission"),
        "{closed}; {open}"
    );
}
