//! Asks each live source once, and says what it brought.

use std::thread;

use crate::carbon::fetch::fetch_once;
use crate::carbon::grid::{FetchError, GridSeries};
use crate::cli::carbon::Work;
use crate::cli::check::Finding;
use crate::units::UnixTime;

/// Asks all sources at the same time, and for the PUE where that is read from somewhere.
pub(super) fn ask(work: Work, now: UnixTime) -> Vec<Finding> {
    thread::scope(|scope| {
        let asked: Vec<_> = work
            .sources
            .into_iter()
            .map(|mut source| {
                let name = format!("{} {}", source.kind.as_str(), source.provider.zone());
                let answer = scope.spawn(move || fetch_once(&mut *source.provider, &source.http, now));
                (name, answer)
            })
            .collect();
        let pue = work.pue.map(|(source, http)| source.read(&http));
        let sources = asked.into_iter().filter_map(|(name, answer)| {
            let text = answer.join().ok()?.map(|series| brought(&series, now));
            Some(finding(&name, text))
        });
        let pue = pue.map(|read| finding("PUE", read.map(|pue| pue.0.to_string())));
        sources.chain(pue).collect()
    })
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
