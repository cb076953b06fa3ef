//! The totals of processes, and which of them are shown.
//!
//! Every process that used energy has an entry, so that its counter is right whenever it gets among those that
//! are shown: the ones that used most lately.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::ledger::{Footprint, State, Totals};
use crate::meters::Component;
use crate::units::Microjoules;
use crate::workloads::owner::Owner;

/// Half of what a process used counts no more after this time in the order of those that are shown. It is about
/// as long as the time between two scrapes, so that those that work now are shown soon.
const HALF_LIFE: Duration = Duration::from_secs(30);

/// Of how many former owners a process's totals are remembered.
const MOST_MOVES: usize = 4;

/// What names a process, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct ProcessName<'a> {
    /// Its pid.
    pub pid: u32,
    /// Start time in clock ticks since boot.
    pub start_time: u64,
    /// The command name.
    pub comm: &'a Arc<str>,
    /// Whose it is; none for the system.
    pub owner: Option<&'a Arc<Owner>>,
}

/// One process.
#[derive(Clone, Debug)]
pub struct ProcessAccount {
    /// Its pid.
    pub pid: u32,
    /// Start time in clock ticks since boot.
    pub start_time: u64,
    /// The command name.
    pub comm: Arc<str>,
    /// Whose it is; none for the system.
    pub owner: Option<Arc<Owner>>,
    /// Totals since it was first seen with this owner.
    pub totals: Totals,
    /// Labels of owners that it had before, and what it used there.
    left: Vec<([String; 2], Totals)>,
    in_tick: [Microjoules; Component::ALL.len()],
    /// The tick that `in_tick` belongs to.
    tick: u64,
    /// Microjoules, old ones faded.
    recent: f64,
    recent_at: Duration,
    ended_at: Option<Duration>,
    shown: bool,
    counted: bool,
    /// The last tick in which it held a GPU context; none if it never did.
    gpu_tick: Option<u64>,
}

impl ProcessAccount {
    /// Whether the process is gone.
    pub fn has_ended(&self) -> bool {
        self.ended_at.is_some()
    }

    /// Whether it ever held a GPU context.
    pub fn is_gpu_client(&self) -> bool {
        self.gpu_tick.is_some()
    }

    /// Changes the owner. Under other labels it starts anew, or where it left off if it had them before.
    fn move_to(&mut self, owner: Option<Arc<Owner>>) {
        let labels = |owner: &Option<Arc<Owner>>| {
            owner.as_ref().map(|owner| owner.process_labels().map(str::to_owned)).unwrap_or_default()
        };
        let (old, new) = (labels(&self.owner), labels(&owner));
        self.owner = owner;
        if old == new {
            return;
        }
        let known = self.left.iter().position(|(labels, _)| *labels == new);
        let totals = known.map(|at| self.left.remove(at).1).unwrap_or_default();
        self.left.push((old, std::mem::replace(&mut self.totals, totals)));
        // Processes move once or twice in their lives; one that wanders all the time takes no memory for it.
        if self.left.len() > MOST_MOVES {
            self.left.remove(0);
        }
    }

    fn add(&mut self, component: Component, state: State, energy: Microjoules, in_tick: Microjoules) {
        self.totals.add(component, state, energy, Footprint::default());
        if let Some(sum) = self.in_tick.get_mut(component.index()) {
            *sum += in_tick;
        }
        self.recent += energy.as_joules();
    }

    fn faded(&self, now: Duration) -> f64 {
        let age = now.saturating_sub(self.recent_at).as_secs_f64();
        self.recent * (-age / HALF_LIFE.as_secs_f64()).exp2()
    }
}

/// Leaves those that used most in the list, at most `most`, and gives the others.
fn keep_most(list: &mut Vec<(f64, (u32, u64))>, most: usize) -> Vec<(f64, (u32, u64))> {
    if list.len() > most {
        list.select_nth_unstable_by(most, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    }
    list.split_off(most.min(list.len()))
}

/// All processes.
#[derive(Debug)]
pub struct ProcessBook {
    accounts: HashMap<(u32, u64), ProcessAccount>,
    retention: Duration,
    shown: usize,
    gpu_shown: usize,
    now: Duration,
    tick: u64,
    not_shown: u64,
}

impl ProcessBook {
    pub(crate) fn new(retention: Duration, shown: usize, gpu_shown: usize) -> Self {
        let (accounts, now) = (HashMap::new(), Duration::ZERO);
        Self { accounts, retention, shown, gpu_shown, now, tick: 0, not_shown: 0 }
    }

    pub(crate) fn begin(&mut self, now: Duration) {
        self.now = now;
        self.tick = self.tick.saturating_add(1);
        let retention = self.retention;
        self.accounts.retain(|_, account| {
            account.ended_at.is_none_or(|at| account.shown && now.saturating_sub(at) < retention)
        });
    }

    /// Books active energy of a living process. What it used under other labels stays with the owner that it had
    /// there.
    pub fn book(&mut self, who: &ProcessName<'_>, component: Component, energy: Microjoules) {
        let account = self.open(who);
        account.add(component, State::Active, energy, energy);
    }

    /// Notes that a living process holds a GPU context, and books GPU energy of it; `in_tick` is what its power in
    /// this tick is told from.
    pub fn book_gpu(
        &mut self,
        who: &ProcessName<'_>,
        state: State,
        energy: Microjoules,
        in_tick: Microjoules,
    ) {
        let tick = self.tick;
        let account = self.open(who);
        account.gpu_tick = Some(tick);
        account.add(Component::Gpu, state, energy, in_tick);
    }

    /// The entry of a living process, opened and brought up to date.
    fn open(&mut self, who: &ProcessName<'_>) -> &mut ProcessAccount {
        let (now, tick) = (self.now, self.tick);
        let ProcessName { pid, start_time, comm, owner } = *who;
        let account = self.accounts.entry((pid, start_time)).or_insert_with(|| ProcessAccount {
            pid,
            start_time,
            comm: Arc::clone(comm),
            owner: owner.cloned(),
            totals: Totals::default(),
            left: Vec::new(),
            in_tick: Default::default(),
            tick,
            recent: 0.0,
            recent_at: now,
            ended_at: None,
            shown: false,
            counted: false,
            gpu_tick: None,
        });
        if account.owner.as_ref() != owner {
            account.move_to(owner.cloned());
        }
        // What uses energy lives, whatever one failed reading said before.
        account.ended_at = None;
        if account.comm != *comm {
            account.comm = Arc::clone(comm);
        }
        if account.tick != tick {
            account.tick = tick;
            account.in_tick = Default::default();
        }
        account.recent = account.faded(now);
        account.recent_at = now;
        account
    }

    /// Notes that processes are gone. Those that weren't shown are forgotten.
    pub fn end(&mut self, ended: &[(u32, u64)]) {
        for key in ended {
            let Some(account) = self.accounts.get_mut(key) else { continue };
            if account.shown {
                account.ended_at = account.ended_at.or(Some(self.now));
            } else {
                self.accounts.remove(key);
            }
        }
    }

    /// Chooses the living processes that used most lately, as many that ended while they were shown, and all that
    /// hold a GPU context. Gives them in order of their pids.
    pub fn choose(&mut self) -> Vec<ProcessAccount> {
        let mut chosen = self.show_best(false);
        chosen.append(&mut self.show_best(true));
        chosen.sort_unstable_by_key(|account| (account.pid, account.start_time));
        chosen
    }

    /// Marks those that used most lately among the living or the ended as shown, and no others.
    fn show_best(&mut self, ended: bool) -> Vec<ProcessAccount> {
        let now = self.now;
        let (mut ranked, mut clients) = (Vec::new(), Vec::new());
        for (key, account) in self.accounts.iter().filter(|(_, account)| account.has_ended() == ended) {
            // One that ended counts as a client while it was one at its end.
            let is_client = account.gpu_tick.is_some_and(|tick| account.has_ended() || tick == self.tick);
            let list = if is_client { &mut clients } else { &mut ranked };
            list.push((account.faded(now), *key));
        }
        // Clients beyond their own cap have the chance that all have.
        ranked.append(&mut keep_most(&mut clients, self.gpu_shown));
        let beyond = keep_most(&mut ranked, self.shown);
        ranked.append(&mut clients);
        for (_, key) in beyond {
            if let Some(account) = self.accounts.get_mut(&key) {
                account.shown = false;
                self.not_shown = self.not_shown.saturating_add(u64::from(!account.counted));
                account.counted = true;
            }
        }
        let mut chosen = Vec::with_capacity(ranked.len());
        for (_, key) in ranked {
            if let Some(account) = self.accounts.get_mut(&key) {
                account.shown = true;
                chosen.push(account.clone());
            }
        }
        chosen
    }

    /// What a process used in this tick.
    pub fn in_tick(&self, account: &ProcessAccount, component: Component) -> Microjoules {
        if account.tick != self.tick {
            return Microjoules::ZERO;
        }
        account.in_tick.get(component.index()).copied().unwrap_or_default()
    }

    /// Processes that were not shown at some time, each counted once.
    pub fn not_shown(&self) -> u64 {
        self.not_shown
    }
}
