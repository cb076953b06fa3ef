//! What live sources say, for other nodes: made once for as long as it stays the same, whatever the number of ticks and of
//! nodes that ask.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;

use super::rendered::compress;
use crate::carbon::grid::GridSeries;
use crate::carbon::providers::relay::Document;
use crate::units::UnixTime;

/// The forms of a list of series.
#[derive(Debug)]
pub(super) struct GridForms {
    series: Vec<Arc<GridSeries>>,
    /// When they were first served.
    since: UnixTime,
    json: OnceLock<Result<Bytes, String>>,
    gzip: OnceLock<Result<Bytes, String>>,
}

impl GridForms {
    /// The forms of these series: those of the last snapshot, where they are the same.
    pub(super) fn of(series: &[Arc<GridSeries>], now: UnixTime, previous: Option<&Arc<Self>>) -> Arc<Self> {
        let is_same = |forms: &&Arc<Self>| {
            // Series are replaced, never changed, so that the same pointers are the same values.
            let pairs = forms.series.iter().zip(series);
            forms.series.len() == series.len()
                && pairs.into_iter().all(|(known, new)| Arc::ptr_eq(known, new))
        };
        match previous.filter(is_same) {
            Some(forms) => Arc::clone(forms),
            None => {
                let (json, gzip) = (OnceLock::new(), OnceLock::new());
                Arc::new(Self { series: series.to_vec(), since: now, json, gzip })
            }
        }
    }

    /// As JSON.
    pub(super) fn json(&self) -> Result<Bytes, String> {
        let make = || {
            let document = Document::new(&self.series, self.since);
            let json = serde_json::to_vec(&document).map_err(|error| error.to_string())?;
            Ok(Bytes::from(json))
        };
        self.json.get_or_init(make).clone()
    }

    /// As JSON, compressed.
    pub(super) fn gzip(&self) -> Result<Bytes, String> {
        self.gzip.get_or_init(|| compress(&self.json()?)).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::fixture::grid_series;

    const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

    #[test]
    fn the_same_series_are_encoded_once() {
        let series = vec![Arc::new(grid_series(44.0)), Arc::new(grid_series(55.0))];
        let first = GridForms::of(&series, NOW, None);
        let same = GridForms::of(&series.clone(), NOW, Some(&first));
        assert_eq!(first.json().unwrap().as_ptr(), same.json().unwrap().as_ptr());
        assert_eq!(first.gzip().unwrap().as_ptr(), same.gzip().unwrap().as_ptr());
        let others = [
            vec![Arc::new(grid_series(44.0)), Arc::clone(&series[1])],
            vec![Arc::clone(&series[0])],
            vec![Arc::clone(&series[1]), Arc::clone(&series[0])],
            Vec::new(),
        ];
        for other in others {
            assert!(!Arc::ptr_eq(&GridForms::of(&other, NOW, Some(&first)), &first));
        }
    }
}
