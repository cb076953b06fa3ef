//! The committed dashboards are what their source makes, and fit Grafana's model of a dashboard in several versions. The
//! programs are Python's; `make tools` gives them what they need, and nothing is installed here.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::board::repository;

/// Versions of Grafana whose models are compared beside the one that the source is written with; each is a folder in the
/// virtual environment, from a file of requirements.
const OTHER_MODELS: [&str; 2] = ["grafana-11", "grafana-next"];

fn venv() -> PathBuf {
    repository().join("target/dashboards-venv")
}

/// What a program of the virtual environment says, and whether it is content.
fn python<I: AsRef<OsStr>>(model: Option<&str>, arguments: impl IntoIterator<Item = I>) -> (bool, String) {
    let mut command = Command::new(venv().join("bin/python"));
    // Imports from another folder come before those of the environment itself.
    command
        .current_dir(repository())
        .args(arguments)
        .env_remove("PYTHONPATH")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(model) = model {
        assert!(venv().join(model).is_dir(), "no {model} in {}: `make tools` makes it", venv().display());
        command.env("PYTHONPATH", venv().join(model));
    }
    let done = command
        .output()
        .unwrap_or_else(|why| panic!("no Python in {}, `make tools` makes it: {why}", venv().display()));
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn requirements() -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(repository().join("dashboards/source"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("requirements"))
        // The pictures have a library of their own, which no test needs.
        .filter(|path| !path.ends_with("requirements-pictures.txt"))
        .collect();
    found.sort();
    found
}

#[test]
fn the_environment_is_of_these_requirements() {
    for path in requirements() {
        let installed = venv().join(path.file_name().unwrap());
        let same = fs::read(&installed).is_ok_and(|text| text == fs::read(&path).unwrap());
        assert!(same, "{} isn't what is installed: `make tools` installs it", path.display());
    }
}

#[test]
fn the_dashboards_are_what_their_source_makes() {
    let (same, said) = python(None, ["dashboards/source", "--check"]);
    assert!(same, "{said}");
}

/// A folder with the files and folders in it.
fn copy_all(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_all(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

#[test]
fn a_stale_dashboard_is_found() {
    let copy = tempfile::tempdir().unwrap();
    let (boards, data) = (copy.path().join("dashboards"), copy.path().join("data"));
    let into = boards.join("source");
    fs::create_dir(&boards).unwrap();
    fs::create_dir(&data).unwrap();
    fs::copy(repository().join("data/equivalences.csv"), data.join("equivalences.csv")).unwrap();
    copy_all(&repository().join("dashboards/source"), &into);
    let (written, said) = python(None, [&into]);
    assert!(written, "{said}");
    let check = || python(None, [into.as_os_str(), OsStr::new("--check")]);
    assert!(check().0, "{}", check().1);

    let any = |directory: &Path| {
        let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|is| is == "json")).min().unwrap()
    };
    let changed = any(&boards);
    fs::write(&changed, fs::read_to_string(&changed).unwrap().replacen("wattprint", "wattfootprint", 1))
        .unwrap();
    let (same, said) = check();
    assert!(!same && said.contains("make dashboards"), "{said}");

    // Neither does a file stay that nothing makes any more.
    assert!(python(None, [&into]).0);
    fs::write(boards.join("leftover.json"), "{}").unwrap();
    let (same, said) = check();
    assert!(!same && said.contains("leftover.json"), "{said}");
}

#[test]
fn the_dashboards_fit_the_models_of_grafana() {
    for model in OTHER_MODELS.into_iter().map(Some).chain([None]) {
        let (fits, said) = python(model, ["dashboards/source/model.py"]);
        assert!(fits, "model {}:\n{said}", model.unwrap_or("of the source"));
    }
}

#[test]
fn what_is_not_in_the_model_is_found() {
    let sample = || {
        json!({
            "title": "a", "uid": "b", "graphTooltip": 1, "panels": [{
                "type": "timeseries", "id": 1, "title": "c",
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
                "options": {"legend": {"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": []},
                            "tooltip": {"mode": "multi", "sort": "desc"}},
                "fieldConfig": {"defaults": {"unit": "watt", "custom": {"lineWidth": 2}}, "overrides": []},
                "targets": [{"refId": "A", "expr": "up", "datasource": {"type": "prometheus", "uid": "${datasource}"}}],
            }],
        })
    };
    let breaks: [(&str, Value); 6] = [
        ("/title", json!(7)),
        ("/graphTooltip", json!("crosshair")),
        ("/panels/0/options/legend/displayMode", json!("tabel")),
        ("/panels/0/fieldConfig/defaults/unit", json!("watts")),
        ("/panels/0/fieldConfig/defaults/custom", json!({"lineWidht": 2})),
        ("/panels/0/targets/0", json!({"refId": "A", "expression": "up"})),
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sample.json");
    let model = |json: &Value| {
        fs::write(&path, json.to_string()).unwrap();
        python(None, [OsStr::new("dashboards/source/model.py"), path.as_os_str()])
    };
    let (fits, said) = model(&sample());
    assert!(fits, "{said}");
    for (pointer, value) in breaks {
        let mut broken = sample();
        *broken.pointer_mut(pointer).unwrap() = value;
        let (fits, said) = model(&broken);
        assert!(!fits && said.contains("sample.json"), "{pointer}: {said}");
    }
}

/// The parts of the pictures that are figures and words; what is drawn needs a Prometheus.
#[test]
fn pictures_write_figures_as_grafana_does() {
    let (right, said) =
        python(None, ["-m", "unittest", "discover", "--start-directory", "dashboards/source"]);
    assert!(right, "{said}");
    assert!(!said.contains("Ran 0 tests"), "no test was run: {said}");
}
