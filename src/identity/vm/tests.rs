use std::fs;
use std::os::unix::fs::symlink;

use proptest::prelude::{any, prop, prop_assert, proptest};

use super::*;
use crate::identity::WantedOwner;

/// As libvirt 6.0 and 8.0 (RHEL 8) leave it, with OpenStack Queens to Wallaby.
const OLD: &str = r#"<!--
WARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE
OVERWRITTEN AND LOST. Changes to this xml configuration should be made using:
  virsh edit instance-00000001
or other application using the libvirt API.
-->

<domstatus state='running' reason='booted' pid='2345'>
  <taint flag='high-privileges'/>
  <monitor path='/var/lib/libvirt/qemu/domain-2-instance-00000001/monitor.sock' type='unix'/>
  <vcpus><vcpu id='0' pid='2351'/></vcpus>
  <qemuCaps><flag name='kvm'/></qemuCaps>
  <libDir path='/var/lib/libvirt/qemu/domain-2-instance-00000001'/>
  <domain type='kvm' id='2'>
    <name>instance-00000001</name>
    <uuid>C51F7C4B-12a1-4cfe-87e0-55b237ef31d2</uuid>
    <metadata>
      <nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.0">
        <nova:package version="17.0.13"/>
        <nova:name>web &amp; shop</nova:name>
        <nova:flavor name="m1.small"><nova:memory>2048</nova:memory></nova:flavor>
        <nova:owner>
          <nova:user uuid="8b6e">ada</nova:user>
          <nova:project uuid="93ac">research</nova:project>
        </nova:owner>
      </nova:instance>
    </metadata>
    <devices><emulator>/usr/libexec/qemu-kvm</emulator></devices>
  </domain>
</domstatus>
"#;

/// As libvirt 10 leaves it, with a title and somebody else's metadata.
const NEW: &str = r#"<domstatus state='running' reason='booted' pid='77'>
  <monitor path='/run/libvirt/qemu/monitor.sock' type='unix'/>
  <namespaces><mount/></namespaces>
  <privateData><allowReboot value='yes'/></privateData>
  <domain type='kvm' id='12' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
    <name>my_big.vm</name>
    <uuid>0c2e8a36-5f5d-4dd5-9c39-0f0d3f8f5c11</uuid>
    <title> The big
one </title>
    <metadata>
      <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0"><name>no</name></libosinfo:libosinfo>
    </metadata>
  </domain>
</domstatus>
"#;

const PROXMOX: &str = "#the shop's%0Aname: no\nagent: 1\nboot: order=scsi0\nname: web01\n\
    smbios1: uuid=7c9cd2a1-93c2-4c1f-8a35-b2a2e5c1c1ee,serial=MQ==,base64=1\nvmgenid: 1f\n\n[before]\nname: old\n";

/// A command line as procfs shows it.
fn words(line: &str) -> Vec<u8> {
    line.replace(' ', "\0").into_bytes()
}

struct Host {
    dir: tempfile::TempDir,
    board: NameBoard,
    known: VmNames,
}

impl Host {
    fn new(files: &[(&str, &str)]) -> Self {
        let host = Self { dir: tempfile::tempdir().unwrap(), board: NameBoard::new(), known: VmNames::new() };
        for (path, text) in files {
            host.write(path, text.as_bytes());
        }
        host
    }

    fn write(&self, path: &str, contents: &[u8]) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    fn look(&mut self, present: &[(&str, &[u32])], is_full: bool) -> Result<(), IdentityError> {
        let owner = |(name, pids): &(&str, &[u32])| WantedOwner {
            owner: Arc::new(Owner::Vm { name: (*name).into() }),
            pids: pids.to_vec(),
            is_named: self.known.contains_key(*name),
        };
        let wanted = Wanted { generation: 1, owners: present.iter().map(owner).collect() };
        let root = HostRoot::new(self.dir.path());
        let look = Look { wanted: &wanted, is_full };
        read(&root, &self.dir.path().join("proc"), look, &self.board, &mut self.known)
    }

    /// What the board says of a VM: kind and name of its owner, and the labels.
    fn says(&self, name: &str) -> Option<String> {
        let found = self.board.names().find(&Owner::Vm { name: name.into() }).facts()?;
        let details = found.details();
        let labels: Vec<_> = details.extra.iter().map(|(label, value)| format!("{label}={value}")).collect();
        Some(format!("{} {}: {}", details.owner_kind, details.owner_name, labels.join(" ")))
    }
}

const NOVA_SAYS: &str =
    "Nova web & shop: uuid=c51f7c4b-12a1-4cfe-87e0-55b237ef31d2 project=research flavor=m1.small";

#[test]
fn status_documents_of_libvirt_tell_uuid_and_owner() {
    let mut host = Host::new(&[
        ("run/libvirt/qemu/instance-00000001.xml", OLD),
        ("run/libvirt/qemu/my_big.vm.xml", NEW),
        ("run/libvirt/qemu/my_big.vm.pid", "77"),
        ("run/libvirt/qemu/autostarted", ""),
    ]);
    host.look(&[("instance-00000001", &[]), ("mybig.vm", &[])], true).unwrap();
    assert_eq!(host.says("instance-00000001").as_deref(), Some(NOVA_SAYS));
    let new = " : uuid=0c2e8a36-5f5d-4dd5-9c39-0f0d3f8f5c11 domain=my_big.vm title=The big one";
    assert_eq!(host.says("mybig.vm").as_deref(), Some(new));
}

#[test]
fn older_paths_and_definitions_do_as_well() {
    let definition =
        "<domain type='kvm'><name>db</name><uuid>0c2e8a365f5d4dd59c390f0d3f8f5c12</uuid></domain>";
    let mut host = Host::new(&[
        ("var/run/libvirt/qemu/instance-00000001.xml", OLD),
        ("etc/libvirt/qemu/db.xml", definition),
        ("etc/libvirt/qemu/networks/default.xml", "<network/>"),
    ]);
    host.look(&[("instance-00000001", &[]), ("db", &[])], true).unwrap();
    assert_eq!(host.says("instance-00000001").as_deref(), Some(NOVA_SAYS));
    assert_eq!(host.says("db").as_deref(), Some(" : uuid=0c2e8a36-5f5d-4dd5-9c39-0f0d3f8f5c12"));
}

#[test]
fn a_guest_of_proxmox_is_known_by_its_number() {
    let mut host = Host::new(&[("etc/pve/nodes/a/qemu-server/100.conf", PROXMOX)]);
    symlink("nodes/a/qemu-server", host.dir.path().join("etc/pve/qemu-server")).unwrap();
    let line = &words(
        "/usr/bin/kvm -id 101 -name db,debug-threads=on -smbios type=1,uuid=7c9cd2a1-93c2-4c1f-8a35-b2a2e5c1c1ef",
    );
    host.write("proc/7/cmdline", line);
    host.look(&[("100", &[]), ("101", &[7]), ("102", &[])], true).unwrap();
    assert_eq!(host.says("100").as_deref(), Some("Proxmox web01: uuid=7c9cd2a1-93c2-4c1f-8a35-b2a2e5c1c1ee"));
    assert_eq!(host.says("101").as_deref(), Some("Proxmox db: uuid=7c9cd2a1-93c2-4c1f-8a35-b2a2e5c1c1ef"));
    assert_eq!(host.says("102"), None);
}

#[test]
fn a_name_that_two_guests_may_have_is_nobodys() {
    let guest = |name: &str, digit: char| {
        let uuid: String = std::iter::repeat_n(digit, 32).collect();
        format!("<domain><name>{name}</name><uuid>{uuid}</uuid></domain>")
    };
    let mut host = Host::new(&[
        ("run/libvirt/qemu/one.xml", &guest("a_b", '1')),
        ("run/libvirt/qemu/two.xml", &guest("a+b", '2')),
    ]);
    host.look(&[("ab", &[])], true).unwrap();
    assert_eq!(host.says("ab"), None);
    // The command line knows which.
    host.write(
        "proc/9/cmdline",
        &words("qemu -name guest=a+b,debug-threads=on -uuid 22222222-2222-2222-2222-222222222222"),
    );
    host.look(&[("ab", &[9])], false).unwrap();
    assert_eq!(host.says("ab").as_deref(), Some(" : uuid=22222222-2222-2222-2222-222222222222 domain=a+b"));
    // A guest that is called so is it, whoever else may be.
    host.write("run/libvirt/qemu/three.xml", guest("ab", '3').as_bytes());
    host.known.clear();
    host.look(&[("ab", &[])], true).unwrap();
    assert_eq!(host.says("ab").as_deref(), Some(" : uuid=33333333-3333-3333-3333-333333333333"));
}

#[test]
fn names_are_turned_into_those_of_machines_as_libvirt_does() {
    let long = "a".repeat(80);
    for (domain, machine, fits) in [
        ("web", "web", true),
        ("my_big.vm", "mybig.vm", true),
        ("-a..b--c-", "a.b-c", true),
        ("a-_-b", "a--b", true),
        ("a-_-b", "a-b", true),
        ("büro", "bro", true),
        ("ü", "", false),
        ("web1", "web", false),
        ("web", "web1", false),
        (&long, &long[..55], true),
        (&long, &long[..30], false),
        (&long, &long[..70], false),
    ] {
        assert_eq!(libvirt::is_machine_name(machine, domain), fits, "{domain} {machine}");
    }
}

#[test]
fn command_lines_tell_uuids_where_files_cant_be_read() {
    for (line, name, want) in [
        (
            "qemu -name guest=web,debug-threads=on -uuid 0c2e8a36-5f5d-4dd5-9c39-0f0d3f8f5c11",
            "web",
            Some(("web", true)),
        ),
        ("qemu --name web --uuid 0c2e8a36-5f5d-4dd5-9c39-0f0d3f8f5c11", "web", Some(("web", true))),
        ("qemu -name process=x,guest=a,,b", "a,b", Some(("a,b", false))),
        ("qemu -name guest=web", "ada-3-web", Some(("web", false))),
        ("qemu -name guest=web", "cobweb", None),
        ("qemu -name guest=web -uuid", "web", Some(("web", false))),
        ("qemu -uuid 0c2e8a36", "web", None),
        ("swtpm socket --ctrl type=unixio", "web", None),
        ("", "web", None),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("5")).unwrap();
        fs::write(dir.path().join("5/cmdline"), words(line)).unwrap();
        let found = cmdline::of(dir.path(), &[4, 5], name);
        let found = found.as_ref().map(|line| (&*line.guest, !line.uuid.is_empty()));
        assert_eq!(found, want, "{line}");
    }
}

#[test]
fn a_file_that_breaks_or_goes_costs_nobody_the_name_it_had() {
    let mut host = Host::new(&[("run/libvirt/qemu/instance-00000001.xml", OLD)]);
    let present: [(&str, &[u32]); 1] = [("instance-00000001", &[3])];
    host.look(&present, true).unwrap();
    let before = Arc::clone(&host.known["instance-00000001"]);
    for broken in [
        &OLD.as_bytes()[..900],
        b"\xff\xfe",
        b"",
        b"<domstatus/>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><domain/>",
    ] {
        host.write("run/libvirt/qemu/instance-00000001.xml", broken);
        host.look(&present, true).unwrap();
        assert!(Arc::ptr_eq(&before, &host.known["instance-00000001"]), "the sampler compares pointers");
    }
    // The command line says no more than was known.
    host.write(
        "proc/3/cmdline",
        &words("qemu -name guest=instance-00000001 -uuid c51f7c4b-12a1-4cfe-87e0-55b237ef31d2"),
    );
    host.look(&present, true).unwrap();
    assert_eq!(host.says("instance-00000001").as_deref(), Some(NOVA_SAYS));
    // Another machine that took the name.
    host.write(
        "proc/3/cmdline",
        &words("qemu -name guest=instance-00000001 -uuid 00000000-12a1-4cfe-87e0-55b237ef31d2"),
    );
    host.look(&present, true).unwrap();
    assert_eq!(
        host.says("instance-00000001").as_deref(),
        Some(" : uuid=00000000-12a1-4cfe-87e0-55b237ef31d2")
    );
    host.look(&[], false).unwrap();
    assert_eq!(host.says("instance-00000001"), None);
}

#[test]
fn a_title_that_changes_is_seen_with_the_next_full_look_only() {
    let mut host = Host::new(&[("run/libvirt/qemu/x.xml", NEW)]);
    host.look(&[("my_big.vm", &[])], false).unwrap();
    host.write("run/libvirt/qemu/x.xml", NEW.replace("The big\none", "small").as_bytes());
    host.look(&[("my_big.vm", &[])], false).unwrap();
    assert!(host.says("my_big.vm").unwrap().ends_with("title=The big one"));
    host.look(&[("my_big.vm", &[])], true).unwrap();
    assert!(host.says("my_big.vm").unwrap().ends_with("title=small"));
}

#[test]
fn one_bad_file_costs_one_vm_and_is_told_only_if_it_matters() {
    let mut host = Host::new(&[("run/libvirt/qemu/x.xml", NEW)]);
    let long = format!("<domain><name>long</name><!--{}--></domain>", " ".repeat(1 << 20));
    host.write("run/libvirt/qemu/long.xml", long.as_bytes());
    host.look(&[("my_big.vm", &[])], true).unwrap();
    let error = host.look(&[("my_big.vm", &[]), ("long", &[])], false).unwrap_err();
    assert_eq!(error.reason, "files of VMs can't be read");
    assert!(host.says("my_big.vm").is_some() && host.says("long").is_none());
}

#[test]
fn without_libvirt_nothing_fails() {
    let mut host = Host::new(&[]);
    host.look(&[], true).unwrap();
    host.look(&[("guest", &[1]), ("100", &[])], true).unwrap();
    assert!(host.known.is_empty());
}

proptest! {
    #[test]
    fn any_bytes_are_taken(bytes: Vec<u8>, cut in 0..OLD.len(), at in 0..OLD.len(), byte in 0..128_u8, name in ".{0,80}") {
        let mut broken = OLD.as_bytes()[..cut].to_vec();
        if let Some(place) = broken.get_mut(at) {
            *place = byte;
        }
        for bytes in [&bytes, &broken] {
            let text = String::from_utf8_lossy(bytes);
            let _ = (libvirt::parse(&text), proxmox::parse(&text), cmdline::parse(bytes));
        }
        prop_assert!(tidy(&name).len() <= MOST_VALUE);
        let _ = libvirt::is_machine_name(&name, &name);
    }

    #[test]
    fn a_command_line_of_any_words_is_taken(words in prop::collection::vec("-{0,2}(name|uuid|smbios|id|[a-z=,]{0,9})", 0..9), name: String, zero in any::<bool>()) {
        let line = words.join("\0") + if zero { "\0" } else { "" };
        let _ = cmdline::parse(line.as_bytes()).map(|line| libvirt::find(&[], &name, Some(&line)).is_none());
    }
}
