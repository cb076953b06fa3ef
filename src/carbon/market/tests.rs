use super::*;

fn settings(share: Option<f64>, intensity: Option<f64>, residual: Option<f64>) -> config::Market {
    config::Market { share, intensity, residual, windows_file: None }
}

fn window(start: u64, end: u64, share: f64, intensity: f64) -> Window {
    let cover = Cover { share, intensity: GramsPerKwh(intensity) };
    Window { start: UnixTime::from_seconds(start), end: UnixTime::from_seconds(end), cover }
}

fn factor(market: &Market, second: u64, location: f64) -> Option<f64> {
    market.factor_at(UnixTime::from_seconds(second), GramsPerKwh(location)).map(|factor| factor.0)
}

/// Location-based 400 g/kWh throughout.
#[test]
fn constant_contracts_give_what_the_formula_says() {
    for (share, intensity, residual, expected) in [
        // Nothing of the three: off.
        (None, None, None, None),
        // 1 * 25
        (None, Some(25.0), None, Some(25.0)),
        // 0.6 * 0 + 0.4 * 400
        (Some(0.6), None, None, Some(160.0)),
        // 0.6 * 0 + 0.4 * 500: the residual mix stands in for the grid's own.
        (Some(0.6), None, Some(500.0), Some(200.0)),
        // 0.5 * 30 + 0.5 * 500
        (Some(0.5), Some(30.0), Some(500.0), Some(265.0)),
        // No certificates at all: all of it is the residual mix.
        (Some(0.0), None, Some(520.0), Some(520.0)),
        (Some(1.0), Some(0.0), Some(520.0), Some(0.0)),
    ] {
        let market = Market::from_settings(&settings(share, intensity, residual)).unwrap();
        let got = factor(&market, 10, 400.0);
        assert_eq!(got.is_some(), expected.is_some(), "{share:?} {intensity:?} {residual:?}");
        let off = (got.unwrap_or_default() - expected.unwrap_or_default()).abs();
        assert!(off < 1e-9, "{share:?} {intensity:?} {residual:?}: {got:?}");
        assert_eq!(market.next_border(UnixTime::from_seconds(10)), None);
    }
}

#[test]
fn a_residual_mix_alone_says_nothing() {
    let error = Market::from_settings(&settings(None, None, Some(500.0))).unwrap_err();
    assert_eq!((error.key(), &error), ("market.residual", &MarketError::NothingCovered));
}

#[test]
fn outside_of_windows_nothing_is_covered() {
    let windows = vec![window(10, 20, 1.0, 0.0), window(20, 30, 0.5, 40.0), window(50, 60, 0.0, 0.0)];
    let market = Market::matched(windows, Some(GramsPerKwh(600.0)));
    for (second, expected, border) in [
        (0, 600.0, Some(10)),
        (9, 600.0, Some(10)),
        (10, 0.0, Some(20)),
        (19, 0.0, Some(20)),
        // 0.5 * 40 + 0.5 * 600
        (20, 320.0, Some(30)),
        (30, 600.0, Some(50)),
        (50, 600.0, Some(60)),
        (60, 600.0, None),
    ] {
        assert_eq!(factor(&market, second, 400.0), Some(expected), "at {second}");
        let next = market.next_border(UnixTime::from_seconds(second));
        assert_eq!(next, border.map(UnixTime::from_seconds), "at {second}");
    }
    assert_eq!(factor(&Market::matched(Vec::new(), None), 10, 400.0), Some(400.0));
}

#[test]
fn the_search_agrees_with_a_look_at_every_window() {
    let windows: Vec<Window> = (0..300).map(|n| window(7 * n, 7 * n + 1 + n % 7, 0.5, 1.0)).collect();
    let market = Market::matched(windows.clone(), None);
    for second in 0..2_200 {
        let time = UnixTime::from_seconds(second);
        let covered = windows.iter().any(|window| window.start <= time && time < window.end);
        assert_eq!(factor(&market, second, 9.0), Some(if covered { 5.0 } else { 9.0 }), "at {second}");
        let borders = windows.iter().flat_map(|window| [window.start, window.end]);
        assert_eq!(market.next_border(time), borders.filter(|border| *border > time).min(), "at {second}");
    }
}

#[test]
fn a_file_of_windows_stands_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("windows.csv");
    std::fs::write(&path, "start,end,share\n1970-01-01T00:00:10Z,1970-01-01T00:00:20Z,1\n").unwrap();
    let mut settings = settings(None, None, Some(600.0));
    settings.windows_file = Some(path.clone());
    let mut market = Market::from_settings(&settings).unwrap();
    assert_eq!([factor(&market, 10, 400.0), factor(&market, 20, 400.0)], [Some(0.0), Some(600.0)]);
    market.replace_windows(vec![window(20, 30, 0.5, 0.0)].into());
    assert_eq!([factor(&market, 10, 400.0), factor(&market, 20, 400.0)], [Some(600.0), Some(300.0)]);

    settings.share = Some(0.5);
    assert_eq!(Market::from_settings(&settings), Err(MarketError::BesideWindows("share")));
    (settings.share, settings.intensity) = (None, Some(5.0));
    let said = Market::from_settings(&settings).unwrap_err().to_string();
    assert!(said.starts_with("market.intensity: not beside market.windows_file"), "{said}");

    settings.intensity = None;
    std::fs::write(&path, "start,end,share\nnow,then,1\n").unwrap();
    let said = Market::from_settings(&settings).unwrap_err().to_string();
    assert!(
        said.starts_with("market.windows_file: ") && said.contains("windows.csv: line 2: start"),
        "{said}"
    );
}
