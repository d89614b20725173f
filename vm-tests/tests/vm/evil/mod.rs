//! The scenarios of the evil host, against the project's own targets: each a test of its
//! own, so that a failure has its name. The files are in `scenarios`.

mod foreign;
mod targets;

use std::collections::BTreeSet;
use std::path::Path;

use vm_tests::evil::{Action, Attacked, End, Expectation, Measurement, Scenario};
use vm_tests::{Environment, Outcome};

use crate::boots::mount;
use crate::simulator::{Described, launch_digest};

/// A module for each target, a test for each of its scenarios: `a_b` is `a-b.toml`.
macro_rules! scenarios {
    ($($target:ident by $run:ident: { $($name:ident)+ })+) => {
        $(mod $target {
            $(
                #[test]
                fn $name() {
                    super::$run(stringify!($target), stringify!($name));
                }
            )+
        })+

        /// What the tests run: targets and scenarios.
        fn listed() -> BTreeSet<(String, String)> {
            let listed = [$($((stringify!($target), stringify!($name))),+),+];
            let named = |(target, name): (&str, &str)| (target.to_owned(), name.replace('_', "-"));
            listed.into_iter().map(named).collect()
        }
    };
}

scenarios! {
    verity by machine: {
        acpi_table_empty
        acpi_table_garbage
        another_algorithm
        another_disk_first
        another_init_word
        another_network_card
        another_pid_1_appended
        another_rdinit_word
        changed_twin_first
        clock_of_1970
        clock_of_2106
        command_line_cut_by_the_kernel
        configuration_of_a_megabyte
        configuration_of_brackets
        configuration_that_is_no_text
        configuration_too_long_and_valid
        credentials_in_fw_cfg
        credentials_in_smbios
        data_disk_twice
        data_extended
        data_file_system_flipped
        data_first_block_changes
        data_first_block_flipped
        data_goes_away
        data_late_file_flipped
        data_of_no_bytes
        data_older
        data_real_init_flipped
        data_truncated
        data_turns_older
        data_turns_to_zeros
        data_zeroed
        disk_on_another_bus
        disks_swapped
        enormous_data_blocks
        failure_that_halts
        failure_that_reboots
        fewer_data_blocks
        file_appended
        first_block_late
        first_block_never
        first_block_unreadable
        first_block_unreadable_when_mounted
        hash_disk_missing
        hash_disk_twice
        hash_of_late_file_flipped
        hash_of_one_sector
        hash_of_real_init_flipped
        hash_of_superblock_flipped
        hash_older
        hash_top_changes
        hash_top_flipped
        hash_top_unreadable
        hash_truncated
        hash_turns_older
        hash_zeroed
        hook_of_no_stage
        hook_that_cannot_run
        image_of_the_host
        init_that_is_no_program
        initramfs_cut
        initramfs_with_a_byte_more
        initramfs_without_magic
        kernel_with_a_sector_more
        key_in_file_and_command_line
        keyboard
        large_logical_blocks
        late_file_unreadable
        legacy_virtio
        little_memory
        load_order_is_noise
        machine_id_in_smbios
        missing_key
        modules_of_another_kernel
        more_processors
        no_disk_at_all
        no_random_instructions
        no_such_init
        quiet
        quiet_failure
        random_device_of_zeros
        reads_fail_from_the_real_init_on
        real_init_changes
        real_init_unreadable
        repeated_key
        root_is_a_blank_disk
        root_word
        second_serial_port
        seed_of_the_host
        serial_with_padding
        serial_writes_to_the_terminal
        setting_in_quotes
        setting_without_value
        shared_directory
        short_root_hash
        ten_more_disks
        third_read_fails
        tree_elsewhere
        unknown_key
        unprotected_root
        unprotected_root_by_name
        verity_module_forbidden
        verity_superblock_flipped
        verity_superblock_lies
        words_behind_two_hyphens
        wrong_root_hash
    }
    partitioned by machine: {
        changed_partitioned_twin_first
        disk_with_another_partition_table
        partition_entries_flipped
        partition_table_flipped
        partition_table_stalls
    }
    attested by processor: {
        processor_always_busy
        processor_busy_for_a_while
        report_cut_off
        report_of_another_question
        second_report_is_the_first
        second_report_of_another_vm
    }
}

#[test]
fn every_scenario_runs_against_every_target_that_it_is_for() {
    let scenarios = Scenario::read_all(&Scenario::directory()).unwrap();
    let targets = |scenario: &Scenario| {
        let name = scenario.name.clone();
        scenario.expect.keys().map(move |target| (target.clone(), name.clone())).collect::<Vec<_>>()
    };
    let written: BTreeSet<(String, String)> = scenarios.iter().flat_map(targets).collect();
    let listed = listed();
    let alone: Vec<_> = written.symmetric_difference(&listed).collect();
    assert!(alone.is_empty(), "in a file or in the list, and not in both: {alone:?}");
}

/// On a machine whose disks, devices and files the host has.
#[track_caller]
fn machine(target: &str, name: &str) {
    let Some((scenario, expectation)) = read(target, name) else { return };
    let target = targets::get(target);
    let target =
        expectation.words.as_deref().map_or(target.clone(), |words| target.with_words(words));
    let attacked = Attacked::new(&target, &scenario).unwrap();
    if let End::Boots(measurement) = expectation.end {
        let same = digest(attacked.measured()) == digest(target.measured());
        assert_eq!(
            same,
            measurement == Measurement::Same,
            "is the launch measurement the owner's?"
        );
    }
    let (outcome, took_place) = attacked.start().watch(|machine| expectation.finish(machine));
    expectation.assert(&outcome);
    if let End::Boots(Measurement::Same) = expectation.end {
        is_the_owners_root(&outcome, &target.cmdline);
    }
    assert!(took_place, "a disk was not read often enough:\n{}", outcome.console);
}

/// The real init runs alone, on the measured root and no other.
#[track_caller]
fn is_the_owners_root(outcome: &Outcome, cmdline: &str) {
    let hash = cmdline.split_once("ravelin.verity.roothash=").unwrap().1.split(' ').next().unwrap();
    let table = outcome.console.probe("dm.table");
    assert!(table.contains(hash) && table.contains(" panic_on_corruption "), "{table}");
    assert_eq!(outcome.console.probe("dm.status"), "root: verity V");
    assert_eq!(outcome.console.probe("process"), "1 R parent 0");
    let root = mount(outcome, "/");
    assert!(root.contains(" - erofs /dev/mapper/root ro,"), "{root}");
}

/// With a simulated secure processor that the host has.
#[track_caller]
fn processor(target: &str, name: &str) {
    let Some((scenario, expectation)) = read(target, name) else { return };
    let fault = |action: &Action| {
        let Action::Processor(fault) = action else {
            unreachable!("{action:?}: the processor is all that the host has here")
        };
        format!("--fault={fault}")
    };
    let faults: Vec<String> = scenario.host.iter().map(fault).collect();
    let faults: Vec<&str> = faults.iter().map(String::as_str).collect();
    let words = expectation.words.as_deref().unwrap_or("probe.do=list:/run");
    let vm = Described::with_words(&targets::attested(), words);
    expectation.assert(&expectation.finish(vm.start(&faults)));
}

/// A scenario, and what it asks of a target; `None` if the kernel is not one for it.
#[track_caller]
fn read(target: &str, name: &str) -> Option<(Scenario, Expectation)> {
    let file = format!("{}.toml", name.replace('_', "-"));
    let scenario = Scenario::read(&Scenario::directory().join(file)).unwrap();
    let expectation = scenario.expect[target].clone();
    let kernel = Environment::get();
    if let Some(option) = expectation.built_with.iter().find(|option| !kernel.built_with(option)) {
        eprintln!("SKIPPED: {name}: the kernel is built without {option}");
        return None;
    }
    Some((scenario, expectation))
}

fn digest((kernel, initrd, cmdline, vcpus): (&Path, &Path, &str, u32)) -> [u8; 48] {
    launch_digest(kernel, initrd, cmdline, vcpus, "EPYC-v4")
}
