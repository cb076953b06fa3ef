use super::*;
use crate::carbon::pricing::Rates;
use crate::identity::{ContainerFacts, JobFacts, NameSource, OwnerNames, PodFacts};
use crate::ledger::State;
use crate::meters::Component;
use crate::units::{GramsPerKwh, Microjoules};
use crate::workloads::ReaderSettings;
use crate::workloads::owner::{JobManager, OwnerKind, Runtime};

const POD: &str = "01234567-89ab-cdef-0123-456789abcdef";

struct Rig {
    board: Arc<NameBoard>,
    books: NameBooks,
    ledger: Ledger,
    workloads: WorkloadReader,
    now: Duration,
}

impl Rig {
    fn new(retention: u64) -> Self {
        let board = Arc::new(NameBoard::new());
        let retention = Duration::from_secs(retention);
        let books =
            NameBooks::new(Arc::clone(&board), &Collectors::default(), Duration::from_secs(10), retention);
        let nowhere = std::path::PathBuf::from("/nonexistent");
        let settings = ReaderSettings {
            procfs: nowhere.clone(),
            sysfs: nowhere,
            processes: false,
            cgroups: false,
            open_files: 0,
            max_cgroups: 10,
            max_processes: 10,
        };
        let workloads = WorkloadReader::new(settings, 10);
        Self { board, books, ledger: Ledger::new(retention, 2, 1, 2), workloads, now: Duration::ZERO }
    }

    fn add(&mut self, owner: Owner) -> OwnerId {
        self.workloads.owners_mut().acquire(owner)
    }

    fn remove(&mut self, id: OwnerId) {
        self.workloads.owners_mut().leave(id);
    }

    /// A tick at this second, in which everybody in `used` used so much.
    fn tick(&mut self, second: u64, used: &[(OwnerId, u64)]) {
        self.now = Duration::from_secs(second);
        let rates = Rates { location: GramsPerKwh(360.0), market: None, water: None };
        self.ledger.begin(self.now, self.workloads.owners_mut(), rates);
        for &(id, energy) in used {
            let energy = Microjoules::new(energy);
            self.ledger.book(id, OwnerKind::Container, Component::Cpu, State::Active, energy);
        }
        self.books.update(self.now, &mut self.ledger, &self.workloads);
    }

    fn named(&self, id: OwnerId) -> Named {
        self.books.named(id).unwrap().clone()
    }

    fn energy(&self, id: OwnerId) -> u64 {
        let mut accounts = self.ledger.numbered_accounts();
        let (_, account) = accounts.find(|(known, _)| *known == id).unwrap();
        account.totals.energy(Component::Cpu, State::Active).get()
    }

    fn learn(&self, known: &[(&str, ContainerFacts)]) {
        let containers = known.iter().map(|(id, facts)| ((*id).into(), Arc::new(facts.clone()))).collect();
        self.board.set_owners(NameSource::Runtimes, OwnerNames { containers, ..OwnerNames::default() });
    }
}

fn id(digit: char) -> String {
    std::iter::repeat_n(digit, 64).collect()
}

fn container(id: &str, pod_uid: &str) -> Owner {
    Owner::Container { runtime: Runtime::Docker, id: id.into(), name: "".into(), pod_uid: pod_uid.into() }
}

fn called(name: &str) -> ContainerFacts {
    ContainerFacts { container: name.into(), ..ContainerFacts::default() }
}

#[test]
fn a_container_waits_for_its_name_and_keeps_its_energy() {
    let mut rig = Rig::new(300);
    let web = rig.add(container(&id('a'), ""));
    rig.tick(1, &[(web, 5)]);
    assert!(rig.named(web).is_held);
    rig.learn(&[(&id('a'), called("web"))]);
    rig.tick(2, &[(web, 6)]);
    let named = rig.named(web);
    assert!(!named.is_held);
    assert_eq!(&*named.title.container, "web");
    assert_eq!(rig.energy(web), 11);
}

#[test]
fn without_a_name_it_waits_no_longer_than_it_should_and_its_labels_stay() {
    let mut rig = Rig::new(300);
    let web = rig.add(container(&id('a'), ""));
    rig.tick(1, &[]);
    rig.tick(10, &[]);
    assert!(rig.named(web).is_held);
    rig.tick(11, &[]);
    assert!(!rig.named(web).is_held);
    rig.learn(&[(&id('a'), called("late"))]);
    rig.tick(12, &[]);
    let named = rig.named(web);
    assert_eq!(&*named.title.container, "", "a counter keeps its labels");
    let Some(Facts::Container(facts)) = named.facts else { panic!("no facts") };
    assert_eq!(&*facts.container, "late");
}

#[test]
fn a_rename_changes_no_label() {
    let mut rig = Rig::new(300);
    let web = rig.add(container(&id('a'), ""));
    rig.learn(&[(&id('a'), called("web"))]);
    rig.tick(1, &[]);
    rig.learn(&[(&id('a'), called("shop"))]);
    rig.tick(2, &[]);
    assert_eq!(&*rig.named(web).title.container, "web");
    assert!(matches!(rig.named(web).facts, Some(Facts::Container(facts)) if &*facts.container == "shop"));
}

#[test]
fn what_ended_is_shown_before_it_leaves() {
    let mut rig = Rig::new(4);
    let short = rig.add(container(&id('a'), ""));
    rig.tick(1, &[(short, 7)]);
    rig.remove(short);
    rig.tick(2, &[]);
    assert!(rig.named(short).is_held);
    rig.tick(5, &[]);
    assert!(!rig.named(short).is_held);
    assert_eq!(rig.energy(short), 7);
}

#[test]
fn what_needs_no_name_never_waits() {
    let mut rig = Rig::new(300);
    let unit = rig.add(Owner::Unit { unit: "ssh.service".into() });
    let vm = rig.add(Owner::Vm { name: "guest".into() });
    let lxc =
        Owner::Container { runtime: Runtime::Lxc, id: "".into(), name: "web".into(), pod_uid: "".into() };
    let lxc = rig.add(lxc);
    let job = rig.add(Owner::Job { manager: JobManager::Slurm, id: "7".into(), uid: Some(1000) });
    rig.tick(1, &[]);
    assert_eq!([unit, vm, lxc, job].map(|id| rig.named(id).is_held), [false, false, false, true]);
    assert_eq!(&*rig.named(lxc).title.container, "web");
    let facts = JobFacts { job_name: "train".into(), user: "ada".into(), ..JobFacts::default() };
    rig.board.set_jobs([((JobManager::Slurm, "7".into()), Arc::new(facts))].into());
    rig.tick(2, &[]);
    let title = rig.named(job).title;
    assert_eq!((&*title.job_name, &*title.user), ("train", "ada"));
}

#[test]
fn a_pause_container_is_counted_in_its_pod() {
    let mut rig = Rig::new(300);
    let pod = rig.add(Owner::Pod { pod_uid: POD.into() });
    let pause = rig.add(container(&id('a'), POD));
    rig.tick(1, &[(pause, 5), (pod, 1)]);
    let sandbox = ContainerFacts { is_sandbox: true, ..ContainerFacts::default() };
    rig.learn(&[(&id('a'), sandbox)]);
    rig.tick(2, &[(pause, 3)]);
    assert_eq!((rig.energy(pod), rig.energy(pause)), (9, 0));
    // It goes before its pod does, and the pod's counter doesn't fall.
    rig.remove(pause);
    rig.tick(3, &[(pause, 2)]);
    rig.tick(400, &[]);
    assert_eq!(rig.energy(pod), 11);
    assert!(rig.books.named(pause).is_none());
}

#[test]
fn ids_with_the_same_short_form_are_told_apart_for_good() {
    let mut rig = Rig::new(300);
    let (one, two) = (id('a'), format!("{}{}", "a".repeat(12), "b".repeat(52)));
    let first = rig.add(container(&one, ""));
    rig.tick(1, &[]);
    let second = rig.add(container(&two, ""));
    rig.tick(2, &[]);
    assert_eq!(&*rig.named(first).title.container_id, "aaaaaaaaaaaa");
    assert_eq!(*rig.named(second).title.container_id, *two);
    rig.tick(20, &[]);
    assert_eq!(*rig.named(second).title.container_id, *two);
}

#[test]
fn those_who_look_for_names_are_told_who_is_there() {
    let mut rig = Rig::new(300);
    let web = rig.add(container(&id('a'), ""));
    rig.add(Owner::Unit { unit: "ssh.service".into() });
    rig.tick(1, &[]);
    let wanted = rig.board.wanted();
    assert_eq!(wanted.owners.len(), 1, "units have their names already");
    assert!(!wanted.owners[0].is_named);
    rig.tick(2, &[]);
    assert_eq!(rig.board.wanted().generation, wanted.generation);
    rig.learn(&[(&id('a'), called("web"))]);
    rig.tick(3, &[]);
    assert!(rig.board.wanted().owners[0].is_named);
    rig.remove(web);
    rig.tick(4, &[]);
    assert!(rig.board.wanted().owners.is_empty());
}

#[test]
fn a_pause_container_is_no_reason_to_tell_again_and_again() {
    let mut rig = Rig::new(300);
    rig.add(Owner::Pod { pod_uid: POD.into() });
    rig.add(container(&id('a'), POD));
    let sandbox = ContainerFacts { is_sandbox: true, ..ContainerFacts::default() };
    let pod = PodFacts { pod: "web-0".into(), ..PodFacts::default() };
    let containers = [(id('a').into(), Arc::new(sandbox))].into();
    let names = OwnerNames { containers, pods: [(POD.into(), Arc::new(pod))].into() };
    rig.board.set_owners(NameSource::Runtimes, names);
    rig.tick(1, &[]);
    rig.tick(2, &[]);
    let told = rig.board.wanted();
    assert!(told.owners.iter().all(|wanted| wanted.is_named));
    rig.tick(20, &[]);
    assert!(Arc::ptr_eq(&told, &rig.board.wanted()));
    rig.tick(40, &[]);
    let later = rig.board.wanted();
    assert!(!Arc::ptr_eq(&told, &later), "processes are told anew now and then");
    assert_eq!(told.generation, later.generation, "which is no reason to look for names");
}

#[test]
fn what_ended_keeps_what_was_known_of_it() {
    let mut rig = Rig::new(300);
    let vm = rig.add(Owner::Vm { name: "guest".into() });
    rig.board.set_vms([("guest".into(), Arc::default())].into());
    rig.tick(1, &[]);
    rig.remove(vm);
    rig.tick(2, &[]);
    rig.board.set_vms(crate::identity::VmNames::new());
    rig.tick(3, &[]);
    assert!(matches!(rig.named(vm).facts, Some(Facts::Vm(_))));
}
