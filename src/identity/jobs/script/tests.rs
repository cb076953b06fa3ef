use std::fs;

use proptest::prelude::*;

use super::*;

#[test]
fn options_of_a_script() {
    let cases = [
        ("#!/bin/bash\n#SBATCH --job-name=train\n", "train"),
        ("#SBATCH --job-name train # of today\n", "train"),
        ("#SBATCH -J train\n", "train"),
        ("#SBATCH -n 4 -Jtrain --mem=1G\n", "train"),
        ("#!/bin/sh\n\n# about\n#SBATCH --job-name=\"train\"\n", "train"),
        ("#SBATCH --job-name=\"two words\"\n", ""),
        ("#SBATCH --job-names=train\n", ""),
        ("#SBATCH # -J train\n", ""),
        ("#SBATCH -J\n", ""),
        ("##SBATCH -J train\n", ""),
        ("echo\n#SBATCH -J train\n", ""),
        ("", ""),
    ];
    for (script, name) in cases {
        assert_eq!(&*parse(script.as_bytes()).job_name, name, "{script}");
    }
    let told = parse(b"#SBATCH -A lab --partition=gpu\n\xff\n#SBATCH -J x\n");
    assert_eq!((&*told.account, &*told.partition, &*told.job_name), ("lab", "gpu", ""));
}

#[test]
fn the_spool_directory_is_that_of_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let root = HostRoot::new(dir.path());
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let name = |id: &str| told(&root, &spools(&root), id).map(|told| told.job_name);
    assert_eq!(name("42"), None);
    // As slurmd 22.05 lays it out.
    write("var/spool/slurmd/job00042/slurm_script", "#SBATCH -J default\n");
    assert_eq!(name("42"), Some("default".into()));
    write("etc/hostname", "node7.example.org\n");
    write("etc/slurm/slurm.conf", "# SlurmdSpoolDir=/no\nslurmdspooldir = /data/%n/spool # local\n");
    write("data/node7/spool/job00042/slurm_script", "#SBATCH -J configured\n");
    write("data/node7/spool/job1234567/slurm_script", "#SBATCH -J long\n");
    assert_eq!(name("42"), Some("configured".into()));
    assert_eq!(name("1234567"), Some("long".into()));
}

proptest! {
    #[test]
    fn any_bytes_are_a_script(bytes: Vec<u8>, options: String) {
        parse(&bytes);
        let mut told = Told::default();
        take(&options, &mut told);
        prop_assert!(told.job_name.len() <= 253);
    }
}
