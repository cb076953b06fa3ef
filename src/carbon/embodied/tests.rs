use std::collections::HashSet;

use super::*;

/// Figure, low and high.
type Own = [Option<f64>; 3];
const NONE: Own = [None; 3];

fn configured(server: Own, gpu: Own) -> Result<Parts, EmbodiedError> {
    let [server_kg, server_low_kg, server_high_kg] = server;
    let [gpu_kg, gpu_low_kg, gpu_high_kg] = gpu;
    parts(&Embodied {
        server_kg,
        server_low_kg,
        server_high_kg,
        gpu_kg,
        gpu_low_kg,
        gpu_high_kg,
        source: Some("PCF 2025".to_owned()),
        ..Embodied::default()
    })
}

#[test]
fn every_row_is_complete_and_plausible() {
    let mut keys = HashSet::new();
    let rows: Vec<Row> =
        csv::Reader::from_reader(TABLE.as_bytes()).into_deserialize().map(|row| row.unwrap()).collect();
    assert!(rows.len() >= 10, "{}", rows.len());
    for row in rows {
        assert!(keys.insert((row.kind, bare(&row.model).to_lowercase())), "{row:?} stands twice");
        // A bare chip is some 20 kg, the largest published figure for a server about 10 t.
        let range = if row.kind == PartKind::Gpu { 20.0..2_000.0 } else { 300.0..10_000.0 };
        assert!(range.contains(&row.kg), "{row:?}");
        assert!(row.low_kg.is_none_or(|low| range.contains(&low) && low <= row.kg), "{row:?}");
        assert!(row.high_kg.is_none_or(|high| range.contains(&high) && high >= row.kg), "{row:?}");
        assert!((2015..=2026).contains(&row.year), "{row:?}");
        for text in [&row.model, &row.boundary, &row.source, &row.licence] {
            assert!(!text.trim().is_empty(), "{row:?}");
        }
    }
}

#[test]
fn gpus_are_found_by_the_driver_s_exact_name() {
    for (name, kilograms, high) in [
        ("NVIDIA H100 80GB HBM3", 164.0, Some(575.0)),
        ("NVIDIA A100-SXM4-40GB", 127.6, Some(319.0)),
        ("A100-SXM4-40GB", 127.6, Some(319.0)),
        ("nvidia a100-pcie-40gb ", 181.0, Some(322.0)),
        ("NVIDIA B200", 284.25, Some(1415.0)),
        ("Tesla T4", 150.0, None),
    ] {
        let part = gpu(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(part.kilograms, Kilograms(kilograms), "{name}");
        assert_eq!(part.high, high.map(Kilograms), "{name}");
    }
}

#[test]
fn a_card_that_is_only_similar_gets_no_figure() {
    for name in [
        "",
        "NVIDIA",
        "NVIDIA H100",
        "NVIDIA H100 PCIe",
        "NVIDIA H100 NVL",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "NVIDIA GB200",
        "NVIDIA H200",
        "B200X",
        "AMD Instinct MI300X",
        "rack server",
        "ÄÖÜÄÖÜ",
    ] {
        assert_eq!(gpu(name), None, "{name}");
    }
}

#[test]
fn the_table_holds_where_nothing_is_configured() {
    let parts = configured(NONE, NONE).unwrap();
    let server = parts.server.clone().unwrap();
    assert_eq!((server.kilograms, server.low, server.high), (Kilograms(1000.0), None, None));
    assert!((server.kilograms.in_grams().0 - 1e6).abs() < 1e-6);
    assert_eq!(parts.gpu("NVIDIA B200"), gpu("NVIDIA B200"));
    assert_eq!(parts.gpu("NVIDIA H200"), None);
}

#[test]
fn the_operator_s_own_figures_win() {
    let parts = configured([Some(2500.0), Some(2000.0), Some(2500.0)], [Some(200.0), None, None]).unwrap();
    let server = parts.server.clone().unwrap();
    assert_eq!((server.kilograms, server.low), (Kilograms(2500.0), Some(Kilograms(2000.0))));
    assert_eq!((&*server.source, &*server.boundary), ("PCF 2025", CONFIGURED));
    for name in ["NVIDIA B200", "NVIDIA H200"] {
        let own = parts.gpu(name).unwrap();
        assert_eq!((own.kilograms, own.low, own.high), (Kilograms(200.0), None, None), "{name}");
    }
}

#[test]
fn bounds_must_hold_their_figure() {
    let nan = f64::NAN;
    for (server, gpu, key, said) in [
        ([Some(0.0), None, None], NONE, "embodied.server_kg", "must be more than 0 kg"),
        (NONE, [Some(nan), None, None], "embodied.gpu_kg", "must be more than 0 kg"),
        ([None, Some(5.0), None], NONE, "embodied.server_low_kg", "without embodied.server_kg"),
        (NONE, [None, None, Some(5.0)], "embodied.gpu_high_kg", "without embodied.gpu_kg"),
        (NONE, [Some(5.0), Some(6.0), None], "embodied.gpu_low_kg", "at most embodied.gpu_kg = 5"),
        ([Some(5.0), None, Some(4.0)], NONE, "embodied.server_high_kg", "at least embodied.server_kg = 5"),
        (NONE, [Some(5.0), None, Some(nan)], "embodied.gpu_high_kg", "at least embodied.gpu_kg = 5"),
    ] {
        let error = configured(server, gpu).unwrap_err();
        assert_eq!(error.key(), key);
        assert!(error.to_string().contains(said), "{error}");
    }
}
