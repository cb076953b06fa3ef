use super::*;

/// 120 kWh.
const ENERGY: Microjoules = Microjoules::new(432_000_000_000_000);

fn from(code: &str, pue: Option<f64>) -> Origin {
    let pue = pue.map(|ratio| SourcedPue { ratio: Pue(ratio), low: None, source: "test".into() });
    Origin { code: code.to_owned(), pue }
}

fn find<'a>(ranking: &'a Ranking, code: &str) -> &'a Standing {
    ranking.standings.iter().find(|one| &*one.place.code == code).unwrap_or_else(|| panic!("{code}"))
}

fn near(grams: Grams, expected: f64) {
    assert!((grams.0 - expected).abs() < 1e-6, "{grams:?} {expected}");
}

#[test]
fn grams_are_energy_times_factor_times_overhead() {
    let ranking = rank(ENERGY, Basis::Lifecycle, None, None);
    let france = find(&ranking, "FR");
    assert_eq!((france.place.kind, france.place.pue.is_none()), (PlaceKind::Zone, true));
    let factor = france.place.factor.intensity.0;
    near(france.grams, 120.0 * factor);
    let paris = find(&ranking, "aws:eu-west-3");
    assert_eq!((paris.place.kind, &*paris.place.factor.zone), (PlaceKind::CloudRegion, "FR"));
    near(paris.grams, 120.0 * factor * 1.2);
    // No figure is published for this provider.
    let frankfurt = find(&ranking, "alibaba:eu-central-1");
    assert_eq!(frankfurt.place.pue, None);
    near(frankfurt.grams, 120.0 * find(&ranking, "DE").place.factor.intensity.0);
}

#[test]
fn the_bases_are_never_mixed() {
    for basis in [Basis::Lifecycle, Basis::Direct] {
        let ranking = rank(ENERGY, basis, None, None);
        assert!(ranking.standings.len() > 100, "{}", ranking.standings.len());
        for pair in ranking.standings.windows(2) {
            let [a, b] = pair else { unreachable!() };
            assert!(a.grams <= b.grams && a.rank <= b.rank, "{a:?} {b:?}");
            assert_eq!(a.rank == b.rank, a.grams == b.grams, "{a:?} {b:?}");
        }
        for (index, one) in ranking.standings.iter().enumerate() {
            assert_eq!(one.place.factor.basis, basis, "{one:?}");
            assert!(one.rank <= index + 1 && one.grams.0 > 0.0 && one.against.is_none(), "{one:?}");
            assert_ne!(&*one.place.code, WORLD);
        }
    }
    let direct = rank(ENERGY, Basis::Direct, None, None);
    assert_eq!(&*find(&direct, "gcp:europe-west9").place.factor.zone, "gcp:europe-west9");
    let lifecycle = rank(ENERGY, Basis::Lifecycle, None, None);
    assert_eq!(&*find(&lifecycle, "gcp:europe-west9").place.factor.zone, "FR");
    assert!(direct.standings.iter().all(|one| &*one.place.code != "FR"));
    assert!(lifecycle.standings.iter().all(|one| &*one.place.code != "US-VA"));
}

#[test]
fn differences_are_against_the_place_of_now_with_its_own_overhead() {
    let ranking = rank(ENERGY, Basis::Lifecycle, None, Some(&from("fr", Some(1.4))));
    let here = ranking.origin().unwrap().clone();
    assert_eq!(&*here.place.code, "FR");
    near(here.grams, 120.0 * here.place.factor.intensity.0 * 1.4);
    assert_eq!(here.against, Some(Difference { grams: Grams(0.0), ratio: 0.0 }));
    let germany = find(&ranking, "DE");
    let against = germany.against.unwrap();
    near(against.grams, germany.grams.0 - here.grams.0);
    assert!((against.ratio - (germany.grams.0 / here.grams.0 - 1.0)).abs() < 1e-12);
    // The cloud's own overhead stays.
    assert!(find(&ranking, "aws:eu-west-3").against.unwrap().grams.0 < 0.0);
}

#[test]
fn a_place_of_now_on_the_other_basis_is_no_yardstick() {
    assert_eq!(bases("US-VA"), Ok(vec![Basis::Direct]));
    assert_eq!(bases(" AWS:US-East-1"), Ok(vec![Basis::Direct]));
    assert_eq!(bases("fr"), Ok(vec![Basis::Lifecycle]));
    assert_eq!(bases("gcp:europe-west9"), Ok(vec![Basis::Lifecycle, Basis::Direct]));
    let ranking = rank(ENERGY, Basis::Lifecycle, None, Some(&from("US-VA", None)));
    assert_eq!(ranking.from, None);
    assert!(ranking.standings.iter().all(|one| one.against.is_none()));
    // The move is then one from the middle.
    let saving = ranking.saving().unwrap();
    assert_eq!(saving.from, &ranking.standings[ranking.standings.len() / 2]);
}

#[test]
fn an_unknown_place_names_near_misses() {
    let error = bases("UK").unwrap_err().to_string();
    assert!(error.contains("\"UK\"") && error.contains("did you mean GB"), "{error}");
    let error = bases("aws:eu-west3").unwrap_err().to_string();
    assert!(error.contains("did you mean aws:eu-west-3"), "{error}");
    assert!(bases("").is_err());
}

#[test]
fn one_kind_can_be_ranked_alone_and_the_place_of_now_stays() {
    let clouds = rank(ENERGY, Basis::Lifecycle, Some(PlaceKind::CloudRegion), Some(&from("FR", None)));
    let zones = clouds.standings.iter().filter(|one| one.place.kind == PlaceKind::Zone);
    assert_eq!(zones.map(|one| &*one.place.code).collect::<Vec<_>>(), ["FR"]);
    let zones = rank(ENERGY, Basis::Lifecycle, Some(PlaceKind::Zone), None);
    assert!(zones.standings.iter().all(|one| one.place.kind == PlaceKind::Zone));
    let world = rank(ENERGY, Basis::Direct, None, Some(&from(WORLD, None)));
    assert_eq!(world.origin().map(|one| &*one.place.code), Some(WORLD));
}

#[test]
fn the_first_the_own_and_the_last_are_shown() {
    let ranking = rank(ENERGY, Basis::Lifecycle, None, Some(&from("DE", None)));
    let all = ranking.standings.len();
    let own = ranking.from.unwrap();
    assert!(own > 3 && own < all - 1);
    let shown: Vec<usize> = ranking.shown(3).iter().map(|one| one.rank).collect();
    assert_eq!(shown.len(), 5);
    assert_eq!(shown.first(), Some(&1));
    assert_eq!(ranking.shown(3)[3], &ranking.standings[own]);
    assert_eq!(ranking.shown(3).last().copied(), ranking.standings.last());
    assert_eq!(ranking.shown(0).len(), all);
    assert_eq!(ranking.shown(all + 1).len(), all);
}

#[test]
fn a_move_to_the_best_place_saves_the_difference() {
    let ranking = rank(ENERGY, Basis::Lifecycle, None, Some(&from("PL", None)));
    let saving = ranking.saving().unwrap();
    assert_eq!(&*saving.from.place.code, "PL");
    assert_eq!(saving.best.rank, 1);
    near(saving.grams, saving.from.grams.0 - saving.best.grams.0);
    let best = saving.best.place.code.to_string();
    let ranking = rank(ENERGY, Basis::Lifecycle, None, Some(&from(&best, None)));
    assert_eq!(ranking.saving().map(|saving| saving.grams), Some(Grams(0.0)));
    let none = Ranking { basis: Basis::Direct, standings: Vec::new(), from: None };
    assert_eq!((none.saving(), none.shown(3).len()), (None, 0));
}
