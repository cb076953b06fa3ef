//! Asks each live source once, and says what it brought.

use std::collections::BTreeMap;
use std::thread;

use crate::carbon::fetch::fetch_once;
use crate::carbon::grid::{FetchError, GridSeries};
use crate::cli::carbon::{LiveSource, Work};
use crate::cli::check::Finding;
use crate::units::UnixTime;

/// Asks all providers at the same time, each for one source after the other, since some refuse calls that overlap. Asks for
/// the PUE, too, where that is read from somewhere.
pub(super) fn ask(work: Work, now: UnixTime) -> Vec<Finding> {
    let mut providers: BTreeMap<&'static str, Vec<LiveSource>> = BTreeMap::new();
    for source in work.sources {
        providers.entry(source.kind.as_str()).or_default().push(source);
    }
    thread::scope(|scope| {
        let asked: Vec<_> = providers
            .into_iter()
            .map(|(name, sources)| {
                (name, scope.spawn(move || sources.into_iter().map(|source| ask_one(source, now)).collect()))
            })
            .collect();
        let pue = work.pue.map(|(source, http)| source.read(&http));
        let sources = asked.into_iter().flat_map(|(name, answers)| -> Vec<Finding> {
            let broken =
                |_| vec![Finding::bad(name, "asking it failed inside wattprint", "report it as a bug")];
            answers.join().unwrap_or_else(broken)
        });
        let pue = pue.map(|read| finding("PUE", read.map(|pue| pue.0.to_string())));
        sources.chain(pue).collect()
    })
}

fn ask_one(mut source: LiveSource, now: UnixTime) -> Finding {
    let answer = fetch_once(&mut *source.provider, &source.http, now);
    let name = format!("{} {}", source.kind.as_str(), source.provider.zone());
    finding(&name, answer.map(|series| brought(&series, now)))
}

fn finding(what: &str, outcome: Result<String, FetchError>) -> Finding {
    match outcome {
        Ok(text) => Finding::good(what, text),
        Err(error) => Finding {
            what: what.to_owned(),
            ok: false,
            remedy: error.result.remedy().map(str::to_owned),
            text: format!("{}: {error}", error.result.as_str()),
        },
    }
}

fn brought(series: &[GridSeries], now: UnixTime) -> String {
    let of = |series: &GridSeries| {
        let slots = series.slots.slots();
        let kind = series.signal.basis().map_or("marginal", |basis| basis.as_str());
        let present = match series.slots.at(now) {
            Some(slot) => format!("{:.0} g/kWh now ({})", slot.intensity.0, slot.quality.as_str()),
            None => "nothing for this moment".to_owned(),
        };
        let ahead = slots.last().map_or(0, |slot| slot.end.since(now).as_secs() / 3_600);
        format!("{kind}: {present}, {} values, {ahead} h ahead", slots.len())
    };
    series.iter().map(of).collect::<Vec<_>>().join("; ")
}
