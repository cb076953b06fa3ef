use proptest::prelude::{ProptestConfig, proptest};

use super::super::mix;
use super::*;
use crate::carbon::providers::harness;

const EIC: &str = "10YFR-RTE------C";

const GOOD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<GL_MarketDocument xmlns="urn:iec62325.351:tc57wg16:451-6:generationloaddocument:3:0"><type>A75</type>
<TimeSeries><mRID>1</mRID><inBiddingZone_Domain.mRID codingScheme="A01">10YFR-RTE------C</inBiddingZone_Domain.mRID>
<quantity_Measure_Unit.name>MAW</quantity_Measure_Unit.name><curveType>A03</curveType>
<MktPSRType><psrType>B14</psrType></MktPSRType>
<Period><timeInterval><start>2026-10-01T06:00Z</start><end>2026-10-01T07:00Z</end></timeInterval>
<resolution>PT15M</resolution><Point><position>1</position><quantity>40000</quantity></Point>
<Point><position>3</position><quantity>41000</quantity></Point></Period></TimeSeries>
<TimeSeries><mRID>2</mRID><outBiddingZone_Domain.mRID codingScheme="A01">10YFR-RTE------C</outBiddingZone_Domain.mRID>
<MktPSRType><psrType>B10</psrType></MktPSRType></TimeSeries></GL_MarketDocument>"#;

/// One series of nuclear power: the curve type, then the times and the points of its period.
fn one(curve: &str, (start, end, resolution): (&str, &str, &str), points: &[(&str, &str)]) -> String {
    let points: String = points
        .iter()
        .map(|(position, quantity)| {
            format!("<Point><position>{position}</position><quantity>{quantity}</quantity></Point>")
        })
        .collect();
    format!(
        "<x:GL_MarketDocument xmlns:x='urn:any'><x:TimeSeries>\
         <x:inBiddingZone_Domain.mRID>{EIC}</x:inBiddingZone_Domain.mRID><curveType>{curve}</curveType>\
         <MktPSRType><psrType>B14</psrType></MktPSRType><Period><timeInterval><start>{start}</start><end>{end}</end>\
         </timeInterval><resolution>{resolution}</resolution>{points}</Period></x:TimeSeries></x:GL_MarketDocument>"
    )
}

/// Minutes after 06:00 and megawatts.
fn outputs(xml: &str) -> Vec<(u64, u64, f64)> {
    let start = time("2026-10-01T06:00Z").unwrap();
    let minutes = |time: UnixTime| time.since(start).as_secs() / 60;
    let contents = read(xml.as_bytes(), EIC).unwrap();
    contents.outputs.iter().map(|o| (minutes(o.time.start), minutes(o.time.end), o.megawatts)).collect()
}

const HOUR: (&str, &str, &str) = ("2026-10-01T06:00Z", "2026-10-01T07:00Z", "PT15M");

#[test]
fn a_document_is_read_and_consumption_left_out() {
    let contents = read(GOOD.as_bytes(), EIC).unwrap();
    assert_eq!(contents.reported, BTreeSet::from(["B14".to_owned()]));
    assert_eq!(contents.unusable, 0);
    assert_eq!(outputs(GOOD), [(0, 30, 40_000.0), (30, 60, 41_000.0)]);
}

#[test]
fn blocks_repeat_what_was_left_out_and_fixed_steps_do_not() {
    let points = [("3", "30"), ("1", "10")];
    assert_eq!(outputs(&one("A03", HOUR, &points)), [(0, 30, 10.0), (30, 60, 30.0)]);
    assert_eq!(outputs(&one("A01", HOUR, &points)), [(0, 15, 10.0), (30, 45, 30.0)]);
    // Before the first position nothing is known, and one behind the end has no time.
    assert_eq!(outputs(&one("A03", HOUR, &[("2", "20"), ("9", "90")])), [(15, 60, 20.0)]);
    assert_eq!(outputs(&one("A01", HOUR, &[("4", "40"), ("5", "50")])), [(45, 60, 40.0)]);
    // Of two at one position the last one holds.
    assert_eq!(
        outputs(&one("A03", HOUR, &[("1", "1"), ("1", "2"), ("3", "3")])),
        [(0, 30, 2.0), (30, 60, 3.0)]
    );
    assert_eq!(outputs(&one("A01", HOUR, &[("1", "1"), ("1", "2")])), [(0, 15, 2.0)]);
    let halves = ("2026-10-01T06:00Z", "2026-10-01T07:00Z", "PT30M");
    assert_eq!(outputs(&one("A01", halves, &[("1", "1"), ("2", "2")])), [(0, 30, 1.0), (30, 60, 2.0)]);
    let hours = ("2026-10-01T06:00Z", "2026-10-01T08:00Z", "PT60M");
    assert_eq!(outputs(&one("A01", hours, &[("1", "1"), ("2", "2")])), [(0, 60, 1.0), (60, 120, 2.0)]);
}

#[test]
fn a_quantity_that_is_no_number_is_a_gap_and_a_negative_one_is_nothing() {
    for quantity in ["", "N/A", "NaN", "inf", "1e99"] {
        let xml = one("A03", HOUR, &[("1", "10"), ("2", quantity), ("4", "40")]);
        assert_eq!(outputs(&xml), [(0, 15, 10.0), (45, 60, 40.0)], "{quantity}");
        assert_eq!(read(xml.as_bytes(), EIC).unwrap().unusable, 1, "{quantity}");
    }
    assert_eq!(outputs(&one("A03", HOUR, &[("1", "-3.5")])), [(0, 60, 0.0)]);
}

#[test]
fn days_when_the_clocks_change_and_years_have_the_hours_that_they_have() {
    for (start, end, hours) in [
        ("2026-03-28T23:00Z", "2026-03-29T22:00Z", 23),
        ("2026-10-24T22:00Z", "2026-10-25T23:00Z", 25),
        ("2026-12-31T12:00Z", "2027-01-01T12:00Z", 24),
    ] {
        let positions: Vec<String> = (1..=hours).map(|hour: u32| hour.to_string()).collect();
        let points: Vec<(&str, &str)> = positions.iter().map(|text| (text.as_str(), text.as_str())).collect();
        let contents = read(one("A01", (start, end, "PT60M"), &points).as_bytes(), EIC).unwrap();
        assert_eq!(contents.outputs.len(), usize::try_from(hours).unwrap());
        let last = contents.outputs.last().unwrap();
        assert_eq!((last.time.end, last.megawatts), (time(end).unwrap(), f64::from(hours)));
    }
}

#[test]
fn a_part_that_is_not_understood_fails_the_whole() {
    for (from, to) in [
        ("PT15M", "P1D"),
        ("<start>2026-10-01T06:00Z</start>", ""),
        ("2026-10-01T06:00Z", "2026-10-01T06:00"),
        ("<psrType>B14</psrType>", ""),
        (">MAW<", ">MWH<"),
        ("<position>1</position>", "<position>0</position>"),
        ("<position>1</position>", "<position>99999999999</position>"),
        ("<position>1</position>", ""),
        ("inBiddingZone_Domain.mRID", "in_Domain.mRID"),
        ("GL_MarketDocument", "Publication_MarketDocument"),
        ("</GL_MarketDocument>", ""),
        ("<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "<!DOCTYPE a [<!ENTITY b \"c\">]>"),
    ] {
        let xml = GOOD.replace(from, to);
        assert_ne!(xml, GOOD, "{from}");
        let fault = read(xml.as_bytes(), EIC).unwrap_err();
        assert_eq!(fault.result, FetchResult::Decode, "{from}: {fault:?}");
        assert!(!fault.is_acknowledgement);
    }
    assert_eq!(read(b"\xff\xfe", EIC).unwrap_err().result, FetchResult::Decode);
    let other = read(GOOD.as_bytes(), "10YES-REE------0").unwrap_err();
    assert_eq!(other.result, FetchResult::ZoneMismatch);
    let many: String = (0..70)
        .map(|n| {
            format!(
                "<TimeSeries><inBiddingZone_Domain.mRID>{EIC}</inBiddingZone_Domain.mRID><MktPSRType><psrType>C{n}\
                 </psrType></MktPSRType></TimeSeries>"
            )
        })
        .collect();
    let many = format!("<GL_MarketDocument>{many}</GL_MarketDocument>");
    assert_eq!(read(many.as_bytes(), EIC).unwrap_err().result, FetchResult::Decode);
}

#[test]
fn an_acknowledgement_says_whether_there_is_no_data_or_no_sense_in_the_request() {
    let reasons = |reasons: &[(&str, &str)]| {
        let reasons: String = reasons
            .iter()
            .map(|(code, text)| format!("<Reason><code>{code}</code><text>{text}</text></Reason>"))
            .collect();
        let xml = format!(
            "<Acknowledgement_MarketDocument xmlns='urn:x'>{reasons}</Acknowledgement_MarketDocument>"
        );
        let fault = read(xml.as_bytes(), EIC).unwrap_err();
        assert!(fault.is_acknowledgement);
        (fault.result, fault.text)
    };
    let no_data = "No matching data found for Data item Actual Generation";
    assert_eq!(reasons(&[("999", no_data)]).0, FetchResult::Empty);
    let (result, text) = reasons(&[("999", "Area EIC\n  is not valid.")]);
    assert_eq!((result, text.as_str()), (FetchResult::Rejected, "Area EIC is not valid. (reason 999)"));
    assert_eq!(reasons(&[("999", no_data), ("A01", "wrong")]).0, FetchResult::Rejected);
    assert_eq!(reasons(&[]), (FetchResult::Rejected, "refused without a reason".to_owned()));
}

#[test]
fn deep_nesting_does_no_harm() {
    let depth = 200_000;
    let xml = format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert_eq!(read(xml.as_bytes(), EIC).unwrap_err().result, FetchResult::Decode);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn no_answer_brings_the_parser_down(bytes in harness::mutated(GOOD)) {
        if let Ok(contents) = read(&bytes, EIC) {
            let mix = mix::intensity(&contents.outputs, &contents.reported);
            assert!(mix.slots.iter().all(|slot| slot.start < slot.end && (1.0..=1000.0).contains(&slot.intensity.0)));
            let _ = mix.notes();
        }
    }
}
