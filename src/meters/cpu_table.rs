//! Nominal power of CPU models by the name that `/proc/cpuinfo` gives them.
//!
//! The table is `data/cpu_tdp.csv`; its README has origin and licence. Only an exact match of the normalised
//! name counts: neighbours in a product line differ by a factor of two, and a wrong figure is worse than none.

use serde::Deserialize;

use crate::units::Watts;

const TABLE: &str = include_str!("../../data/cpu_tdp.csv");

/// A CPU model and what its maker says of one package.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuModel {
    /// The model's name as the table has it.
    pub name: String,
    /// Thermal design power of one package.
    pub tdp: Watts,
    /// Hardware threads of one whole package, also where a VM shows fewer; absent where the name doesn't tell.
    pub threads: Option<u32>,
    /// Where the power comes from.
    pub source: String,
    /// Its licence.
    pub licence: String,
}

/// Looks up `model name` of `/proc/cpuinfo`; `None` for names that aren't in the table, which those that
/// hypervisors make up never are.
pub fn lookup(model_name: &str) -> Option<CpuModel> {
    let wanted = normalise(model_name);
    let row = csv::Reader::from_reader(TABLE.as_bytes())
        .into_deserialize::<Row>()
        .filter_map(Result::ok)
        .find(|row| row.model.eq_ignore_ascii_case(&wanted.model))?;
    Some(CpuModel {
        threads: wanted.threads(),
        name: row.model,
        tdp: Watts(row.tdp_watts),
        source: row.source,
        licence: row.licence,
    })
}

/// A row of the table.
#[derive(Debug, Deserialize)]
struct Row {
    model: String,
    tdp_watts: f64,
    source: String,
    licence: String,
}

/// A name without trademarks, clock rate, graphics and filler words.
#[derive(Debug, PartialEq)]
struct Normalised {
    model: String,
    /// From `64-Core`, as AMD writes it.
    cores: Option<u32>,
}

impl Normalised {
    /// EPYC and Threadripper run two threads on each core; the exceptions are in the embedded 3000 series.
    fn threads(&self) -> Option<u32> {
        let name = self.model.to_ascii_lowercase();
        let two_threads = name.starts_with("amd ryzen threadripper ")
            || (name.starts_with("amd epyc ") && !name.starts_with("amd epyc 3"));
        self.cores.filter(|_| two_threads)?.checked_mul(2)
    }
}

fn normalise(model_name: &str) -> Normalised {
    let mut text = model_name.to_owned();
    for mark in ["(R)", "(r)", "(TM)", "(tm)", "®", "™"] {
        text = text.replace(mark, "");
    }
    let text = text.split(['@']).next().unwrap_or_default();
    let text = text.split(" with ").next().unwrap_or_default();
    let text = text.split(" w/ ").next().unwrap_or_default();

    // Intel's "Pentium Dual-Core" is a family.
    let amd = text.split_whitespace().any(|word| word.eq_ignore_ascii_case("AMD"));

    let mut cores = None;
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let lower = word.to_ascii_lowercase();
        if let (Some(count), true) = (core_count(&lower), amd) {
            cores = count.parse().ok();
            continue;
        }
        match (lower.as_str(), words.last().map(String::as_str)) {
            // "0" stands for the first version in "E5-2680 0".
            ("cpu" | "processor" | "apu" | "0", _) => {}
            // "12th Gen Intel Core i7-1260P": the model number says it already.
            ("gen", Some(ordinal)) if words.len() == 1 && is_ordinal(ordinal) => words.clear(),
            ("core2", _) => words.extend(["Core".to_owned(), "2".to_owned()]),
            // The first generation has "Core i5 750" where all others have "Core i5-2500".
            (_, Some(family @ ("i3" | "i5" | "i7"))) if lower.starts_with(|c: char| c.is_ascii_digit()) => {
                let joined = format!("{family}-{word}");
                words.pop();
                words.push(joined);
            }
            _ => words.push(word.to_owned()),
        }
    }
    Normalised { model: words.join(" "), cores }
}

/// The number before `-core`, digits or a word.
fn core_count(lower: &str) -> Option<&str> {
    lower.strip_suffix("-core").or(lower.strip_suffix("-cores"))
}

fn is_ordinal(word: &str) -> bool {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    !digits.is_empty() && digits.len() < word.len() && digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::{ProptestConfig, proptest};

    use super::*;

    #[test]
    fn names_from_real_machines_are_found() {
        for (cpuinfo, name, tdp, threads) in [
            ("Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz", "Intel Xeon Platinum 8375C", 300.0, None),
            ("Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", "Intel Xeon Platinum 8259CL", 210.0, None),
            ("Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz", "Intel Xeon Gold 6248", 150.0, None),
            ("INTEL(R) XEON(R) PLATINUM 8592+", "Intel Xeon Platinum 8592+", 350.0, None),
            ("Intel(R) Xeon(R) Platinum 8480+", "Intel Xeon Platinum 8480+", 350.0, None),
            ("Intel(R) Xeon(R) CPU Max 9480", "Intel Xeon Max 9480", 350.0, None),
            ("Intel(R) Xeon(R) 6980P", "Intel Xeon 6980P", 500.0, None),
            ("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", "Intel Xeon E5-2680 v4", 120.0, None),
            ("Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz", "Intel Xeon E5-2686 v4", 145.0, None),
            ("Intel(R) Xeon(R) CPU E5-2670 0 @ 2.60GHz", "Intel Xeon E5-2670", 115.0, None),
            ("Intel(R) Xeon(R) CPU           X5570  @ 2.93GHz", "Intel Xeon X5570", 95.0, None),
            ("Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz", "Intel Core i7-8700", 65.0, None),
            ("13th Gen Intel(R) Core(TM) i9-13900K", "Intel Core i9-13900K", 125.0, None),
            ("Intel(R) Core(TM) i5 CPU         750  @ 2.67GHz", "Intel Core i5-750", 95.0, None),
            ("Intel(R) Core(TM)2 Duo CPU     E8400  @ 3.00GHz", "Intel Core 2 Duo E8400", 65.0, None),
            ("AMD EPYC 7763 64-Core Processor", "AMD EPYC 7763", 280.0, Some(128)),
            ("AMD EPYC 9654 96-Core Processor", "AMD EPYC 9654", 360.0, Some(192)),
            ("AMD EPYC 7R13 Processor", "AMD EPYC 7R13", 225.0, None),
            ("AMD EPYC 7B12", "AMD EPYC 7B12", 240.0, None),
            (
                "AMD Ryzen Threadripper PRO 5995WX 64-Cores",
                "AMD Ryzen Threadripper PRO 5995WX",
                280.0,
                Some(128),
            ),
            ("AMD Ryzen 9 5950X 16-Core Processor", "AMD Ryzen 9 5950X", 105.0, None),
            ("AMD Ryzen 5 5600G with Radeon Graphics", "AMD Ryzen 5 5600G", 65.0, None),
            ("AMD Opteron(tm) Processor 6274", "AMD Opteron 6274", 115.0, None),
            ("AMD FX(tm)-8370 Eight-Core Processor", "AMD FX-8370", 125.0, None),
        ] {
            let found = lookup(cpuinfo).unwrap_or_else(|| panic!("{cpuinfo}: {:?}", normalise(cpuinfo)));
            assert_eq!((found.name.as_str(), found.threads), (name, threads), "{cpuinfo}");
            assert!((found.tdp.0 - tdp).abs() < 1e-9, "{found:?}");
            assert!(!found.source.is_empty() && !found.licence.is_empty());
        }
    }

    #[test]
    fn names_that_say_too_little_are_not_guessed() {
        for cpuinfo in [
            "",
            " ",
            "@",
            "Intel",
            "Intel(R) Xeon(R) Processor",
            "Intel(R) Xeon(R) CPU @ 2.20GHz",
            "Intel(R) Xeon(R) CPU",
            "Intel Xeon Processor (Skylake, IBRS)",
            "Intel Core Processor (Broadwell)",
            "QEMU Virtual CPU version 2.5+",
            "Common KVM processor",
            "AMD EPYC Processor",
            "AMD EPYC-Milan Processor",
            "AMD EPYC 64-Core Processor",
            "AMD EPYC 7763X 64-Core Processor",
            "Neoverse-N1",
            "ARMv8 Processor rev 0 (v8l)",
            "12th Gen",
            "Gen",
        ] {
            assert_eq!(lookup(cpuinfo), None, "{cpuinfo:?}");
        }
    }

    #[test]
    fn every_row_is_complete_plausible_and_can_be_reached() {
        let mut seen = HashSet::new();
        for row in csv::Reader::from_reader(TABLE.as_bytes()).into_deserialize::<Row>() {
            let row = row.expect("readable");
            assert!(row.tdp_watts > 0.0 && row.tdp_watts <= 600.0, "{row:?}");
            assert!(!row.source.is_empty() && !row.licence.is_empty(), "{row:?}");
            assert!(seen.insert(row.model.to_lowercase()), "{row:?} stands twice");
            assert_eq!(normalise(&row.model), Normalised { model: row.model.clone(), cores: None });
        }
        assert!(seen.len() > 4000, "{}", seen.len());
    }

    #[test]
    fn threads_are_told_only_where_each_core_has_two() {
        for (name, threads) in [
            ("AMD EPYC 9965 192-Core Processor", Some(384)),
            ("AMD EPYC 3251 8-Core Processor", None),
            ("AMD Ryzen 5 3500X 6-Core Processor", None),
            ("AMD EPYC 7763 4294967295-Core Processor", None),
            ("AMD EPYC 7763 many-Core Processor", None),
        ] {
            assert_eq!(normalise(name).threads(), threads, "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_name_is_found_under_another(name in "(Intel|AMD|Core2|i5|[0-9]{1,3}(th)?|Gen|64-Core|[ @().a-z®]{0,6}| ){0,10}") {
            let found = lookup(&name);
            assert!(found.is_none_or(|cpu| cpu.name.eq_ignore_ascii_case(&normalise(&name).model)));
        }
    }
}
