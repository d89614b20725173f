//! Every target over its corpus and mutations of it, the same ones every time. What this
//! finds a fuzzer would find at once; `cargo xtask fuzz` looks longer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fuzz::{Numbers, TARGETS, Target, cost, mutate};

/// Mutations of a target, if they do not take longer than that.
const MUTATIONS: usize = 3000;
const TIME: Duration = Duration::from_secs(2);

fn directory(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The committed seeds are the ones that the writers make today.
#[test]
fn the_corpus_holds_the_seeds() {
    for target in TARGETS {
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            let path = directory(target).join(format!("seed-{number:02}"));
            if std::env::var_os("RAVELIN_BLESS").is_some() {
                fs::create_dir_all(directory(target)).unwrap();
                fs::write(&path, &seed).unwrap();
            }
            let found = fs::read(&path).unwrap_or_default();
            assert!(found == seed, "{}: make it again with RAVELIN_BLESS=1", path.display());
        }
    }
}

#[test]
fn a_corpus_is_of_a_target() {
    let names: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names.len(), TARGETS.len());
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let found = fs::read_dir(corpora).unwrap();
    let found: BTreeSet<_> =
        found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, names);
}

#[test]
fn every_target_ends_well() {
    for target in TARGETS {
        let corpus = corpus(target);
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        let mut most = 0;
        let mut run = |input: &[u8]| most = most.max(cost::of(|| (target.run)(input)).bytes);
        corpus.iter().for_each(|input| run(input));
        let mut numbers = Numbers::new(1);
        let start = Instant::now();
        let mut done = 0;
        while done < MUTATIONS && start.elapsed() < TIME {
            let input = &corpus[numbers.below(corpus.len())];
            let other = &corpus[numbers.below(corpus.len())];
            let mutated = mutate(input, other, &mut numbers);
            run(&mutated);
            done += 1;
        }
        assert!(most <= target.memory, "{} held {most} bytes", target.name);
        println!("{}: {} seeds, {done} mutations, {most} bytes", target.name, corpus.len());
    }
}
