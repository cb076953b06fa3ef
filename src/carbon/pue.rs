//! Power usage effectiveness (ISO/IEC 30134-2) that is read while running: from a file, or by a query to Prometheus.

use std::path::PathBuf;

use crate::carbon::data_file;
use crate::carbon::factors::MAX_PUE;
use crate::carbon::grid::{FetchError, FetchResult, GridState, Step};
use crate::carbon::http::HttpClient;
use crate::carbon::providers::prometheus::Query;
use crate::carbon::providers::{SourceError, base_address};
use crate::carbon::series::KEPT;
use crate::config::Carbon;
use crate::units::{Pue, UnixTime};

/// One number is less than this.
const MAX_FILE: u64 = 4096;

/// Where the facility's overhead is read from.
#[derive(Clone, Debug)]
pub struct PueSource(From);

#[derive(Clone, Debug)]
enum From {
    File(PathBuf),
    Prometheus(Query),
}

impl PueSource {
    /// The source that is configured; none without `carbon.pue_file` and `carbon.pue_url`.
    ///
    /// # Errors
    /// Both are there, one of `pue_url` and `pue_query` lacks the other, or the address can't be asked.
    pub fn from_settings(settings: &Carbon) -> Result<Option<Self>, SourceError> {
        let wrong = |key, problem: &str| Err(SourceError::new(key, problem));
        match (&settings.pue_file, &settings.pue_url, &settings.pue_query) {
            (None, None, None) => Ok(None),
            (Some(_), Some(_), _) => {
                wrong("carbon.pue_url", "not beside carbon.pue_file: remove one of the two")
            }
            (_, None, Some(_)) => {
                wrong("carbon.pue_query", "needs carbon.pue_url, the address of the Prometheus server to ask")
            }
            (None, Some(_), None) => {
                wrong("carbon.pue_url", "needs carbon.pue_query, such as \"avg(datacenter_pue)\"")
            }
            (Some(path), None, None) => Ok(Some(Self(From::File(path.clone())))),
            (None, Some(url), Some(query)) => {
                let url =
                    base_address(url).map_err(|error| SourceError::new("carbon.pue_url", error.problem))?;
                if query.trim().is_empty() {
                    return wrong("carbon.pue_query", "must not be empty");
                }
                Ok(Some(Self(From::Prometheus(Query::new(&url, query, None)))))
            }
        }
    }

    /// Whether it is read from a file, so that nobody is asked.
    pub const fn is_file(&self) -> bool {
        matches!(self.0, From::File(_))
    }

    /// The overhead now.
    ///
    /// # Errors
    /// It can't be read, or isn't a number from 1 to [`MAX_PUE`].
    pub fn read(&self, http: &HttpClient) -> Result<Pue, FetchError> {
        let decode = |text: String| FetchError::new(FetchResult::Decode, text);
        let (number, place) = match &self.0 {
            From::File(path) => {
                let file = data_file::read(path, MAX_FILE)?;
                let number = std::str::from_utf8(&file.bytes).ok().and_then(|text| text.trim().parse().ok());
                let number =
                    number.ok_or_else(|| decode(format!("{}: must hold one number", path.display())))?;
                (number, path.display().to_string())
            }
            From::Prometheus(query) => (query.ask(http)?.value, "carbon.pue_query".to_owned()),
        };
        if !(1.0..=MAX_PUE).contains(&number) {
            return Err(decode(format!("{place}: {number} isn't a PUE: it must be from 1 to {MAX_PUE}")));
        }
        Ok(Pue(number))
    }
}

/// Notes the overhead that was read at a moment.
pub fn note(state: &mut GridState, now: UnixTime, pue: Pue) {
    let steps = &mut state.pue;
    // What is later than now was noted by a clock that was ahead since.
    steps.retain(|step| step.from <= now);
    if steps.last().is_none_or(|last| last.value != pue) {
        steps.push(Step { from: now, value: pue });
    }
    // The last step before the border is what holds at it.
    let border = now.before(KEPT);
    let outdated = steps.partition_point(|step| step.from < border).saturating_sub(1);
    steps.drain(..outdated);
    state.pue_read = Some(now);
    state.pue_error = None;
}

#[cfg(test)]
mod tests;
