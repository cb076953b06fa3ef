//! Goes on with other settings, without losing what was counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::carbon::amortise::Plan;
use crate::carbon::grid::GridBoard;
use crate::carbon::pricing::Pricer;
use crate::identity::NameBoard;
use crate::sampler::embodied::EmbodiedBooks;
use crate::sampler::{Sampler, names};
use crate::snapshot::ConfigStatus;
use crate::units::{UnixTime, Watts};

/// What a sampler does otherwise from a moment on. All sums stay.
#[derive(Debug)]
pub struct Renewal {
    /// Time between two ticks.
    pub interval: Duration,
    /// How long owners wait for their names at most.
    pub names_wait: Duration,
    /// Idle power by device or domain; absent where it is as before.
    pub baselines: Option<HashMap<String, Watts>>,
    /// How the emissions of making the hardware are counted; absent where that is as before. It holds for the whole tick
    /// that is under way.
    pub embodied: Option<Option<Plan>>,
    /// What prices energy that is drawn from now on; absent where that is as before.
    pub prices: Option<(Pricer, Arc<GridBoard>)>,
    /// Where names are found; absent where that is as before.
    pub names: Option<Arc<NameBoard>>,
    /// Keys that were changed, but stay as they are until a restart.
    pub awaiting_restart: Arc<[String]>,
}

impl Sampler {
    /// Goes on as the renewal says.
    pub(super) fn renew(&mut self, renewal: Renewal) {
        let now = UnixTime::since_epoch(self.clock.unix());
        self.interval = renewal.interval;
        self.gpus.set_interval(renewal.interval);
        self.names.set_wait(renewal.names_wait);
        if let Some(baselines) = renewal.baselines {
            self.baselines.configure(baselines);
            self.baselines_checked = false;
        }
        if let Some(plan) = renewal.embodied {
            self.embodied = EmbodiedBooks::new(plan);
        }
        if let Some((pricer, board)) = renewal.prices {
            self.prices.replace(pricer, board, now);
        }
        if let Some(board) = renewal.names {
            self.names.replace(board);
        }
        self.config =
            ConfigStatus { is_accepted: true, accepted_at: now, awaiting_restart: renewal.awaiting_restart };
    }

    /// Goes on as before, after a configuration that can't be used.
    pub(super) fn note_refusal(&mut self) {
        self.config.is_accepted = false;
    }
}

impl names::NameBooks {
    /// Takes another longest wait; those whose series have begun keep them.
    fn set_wait(&mut self, most: Duration) {
        self.waiting.most = most;
    }

    /// Looks at another board from now on, which is told at once who is there.
    fn replace(&mut self, board: Arc<crate::identity::NameBoard>) {
        self.board = board;
        self.told_at = None;
        self.told_all_at = None;
        self.has_news = true;
    }
}
