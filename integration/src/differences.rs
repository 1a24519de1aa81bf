//! What runc and crun are known to do otherwise than this suite expects, each with the reason.
//!
//! A key is the name of a test, which is then left out as a whole, or a name that a test gives to [`crate::Sandbox::differs`] to
//! leave out one point. corten has no entry: where it differs from the suite, one of them is wrong. The versions are Debian
//! 12's: runc 1.1.5 and crun 1.8.1.

use crate::Runtime::{self, Crun, Runc};

/// The runtime, the key, and the reason.
pub const DIFFERENCES: &[(Runtime, &str, &str)] = &[
    (
        Runc,
        "delete --force removes a shared-pid cgroup on v2",
        "it freezes, kills, and then gives up on EBUSY from rmdir while the processes end; it exits with 0 all the same",
    ),
    (
        Runc,
        "a_cgroup_with_processes_of_somebody_else_is_refused_and_left_alone",
        "it warns and says that 1.2 will refuse, which it does",
    ),
    (Crun, "a_cgroup_with_processes_of_somebody_else_is_refused_and_left_alone", "it uses it"),
    (Runc, "cgroup ownership without systemd", "it changes the owner only of what systemd made"),
    (Crun, "cgroup ownership without systemd", "it changes the owner only of what systemd made"),
    (Runc, "cpu.weight of the default cpu.shares", "1.1 has the older formula: 39 instead of 100 (1.3.2 has today's)"),
    (Runc, "update of one of two values", "a quota without a period has the kernel's default period"),
    (
        Runc,
        "a_limit_below_what_is_used_is_refused_when_it_is_to_be_checked",
        "it is older than checkBeforeUpdate and ignores it",
    ),
    (Runc, "update of all limits or none", "it leaves what it has written before one was refused"),
    (Runc, "cgroups_made_by_the_runtime", "its delete leaves some of eight at a time behind, as it does with one"),
    (Runc, "scopes_while_systemd_reloads", "1.1.15 hung in a create"),
    (Crun, "what version 2 has no counterpart for", "it refuses disableOOMKiller there"),
    (Crun, "update_changes_what_it_names_and_nothing_else", "its options take plain numbers, no 64m"),
    (
        Crun,
        "a_limit_below_what_is_used_is_refused_when_it_is_to_be_checked",
        "its update does not know checkBeforeUpdate",
    ),
    (
        Crun,
        "a_limit_that_the_kernel_refuses_leaves_nothing_and_changes_nothing",
        "the cgroup stays when a limit cannot be set",
    ),
    (Crun, "a_memory_hog_is_killed_and_told_of", "it has no events command"),
    (Crun, "stats_have_runcs_fields", "it has no events command"),
    (Crun, "events_refuses_a_stopped_container_and_wrong_options", "it has no events command"),
    (Crun, "reservations of huge pages", "1.21 limits the use of huge pages alone"),
    (Crun, "cpu.weight of the default cpu.shares", "1.21 has the older formula: 39 instead of 100"),
    (
        Crun,
        "a_container_in_a_cgroup_of_its_own_making_is_paused_listed_killed_and_deleted",
        "its ps does not look below",
    ),
    (Crun, "pause_and_resume_refuse_what_is_not_running_or_not_paused", "its resume takes what runs"),
    (Crun, "ps_lists_the_containers_processes", "its table has the pids alone"),
    (Crun, "rules_mean_the_same_on_both_versions", "without rules it allows all devices"),
    (Crun, "rules_without_a_meaning_are_refused", "it takes them"),
    (Crun, "nodes_that_cannot_be_made_are_refused_and_leave_nothing", "it takes a node of the type for all"),
    (Crun, "a_container_in_a_cgroup_below_its_own_obeys_every_command", "its ps does not look below"),
    (
        Crun,
        "a_scope_has_the_limits_and_ends_with_the_container",
        "its processes are in a cgroup of their own in the scope",
    ),
    (
        Crun,
        "the_program_sees_its_own_cgroup_with_and_without_a_namespace",
        "its processes are in a cgroup of their own in the scope",
    ),
    (Crun, "a_create_that_fails_leaves_no_unit", "1.21 leaves a file .cache in its state directory"),
    (Runc, "descriptors in hooks", "they inherit what its caller left open"),
    (Runc, "additional groups with newgidmap", "it refuses them to every caller who is not root"),
    (Runc, "the group of /dev/mqueue", "it makes the ipc namespace before it sets the group"),
    (
        Runc,
        "devices without a meaning",
        "it cuts numbers to their bits, and takes relative paths for those of the root",
    ),
    (Runc, "limits that are given twice", "it sets the last, where the specification wants an error"),
    (Runc, "negative numbers of devices on version 2", "it takes them for wildcards; on version 1 it refuses them"),
    (Runc, "100,000 variables", "it looks through all of them for each: more than half a minute"),
    (Runc, "300,000 variables", "it looks through all of them for each: more than half a minute"),
    (Runc, "root is not mapped", "it wants the uid and gid 0 mapped"),
    (Runc, "intelRdt without schemas", "it ignores it on a machine without resctrl; the specification wants an error"),
    (Crun, "it_is_refused_where_the_machine_has_none", "1.8.1 ignores the element there"),
    (Crun, "update_says_what_is_not_enabled_and_changes_nothing", "1.8.1 has no such options"),
    (Runc, "cpu burst and idle", "1.1.15 does not know cpu.burst and leaves it out"),
    (Runc, "features of 1.3", "it is older than the elements of 1.3"),
    (Runc, "the mount option defaults", "it claims it and passes it on to the file system, which does not know it"),
    (
        Runc,
        "calls_that_are_newer_than_the_profile_do_not_exist",
        "its own init, under the filter by then, makes calls that the test's profile does not allow, and hangs",
    ),
    (Runc, "seccomp flags", "1.1.5 knows none; 1.2 does"),
    (Crun, "features_are_valid_by_the_schema", "1.8.1 has no features command"),
    (Crun, "features_are_complete", "1.8.1 has no features command"),
    (Crun, "annotations_pass_through_everywhere", "its list has none in JSON"),
    (Crun, "claimed_hooks_run", "1.8.1 has no features command"),
    (Crun, "claimed_capabilities_are_known", "1.8.1 has no features command"),
    (Crun, "what_is_said_to_be_enabled_is_accepted_and_the_rest_refused", "1.8.1 has no features command"),
    (Crun, "claimed_namespaces_are_new_ones", "1.8.1 has no features command"),
    (Crun, "claimed_mount_options_are_accepted", "1.8.1 has no features command"),
    (Crun, "claimed_words_of_seccomp_are_accepted", "1.8.1 has no features command"),
    (Runc, "domainname", "it is older than domainname (specification 1.1) and ignores it"),
    (
        Runc,
        "rootfsPropagation shared",
        "it makes the caller's root shared, but the root file system's parent private again before it binds it",
    ),
    (Runc, "time namespaces", "it is older than time namespaces (specification 1.1; runc 1.2)"),
    (
        Runc,
        "no mount namespace",
        "it changes the propagation of the caller's own mounts, and leaves a bind of the rootfs there",
    ),
    (Runc, "names of elements", "its messages do not name elements"),
    (Crun, "names of elements", "its messages do not name elements"),
    (Runc, "kinds of joined namespaces in messages", "setns fails with EINVAL, and the message is the kernel's"),
    (Crun, "kinds of joined namespaces in messages", "setns fails with EINVAL, and the message is the kernel's"),
    (Crun, "time namespaces", "1.8.1's child ends without a word when it makes one on Linux 6.18"),
    (
        Crun,
        "every_propagation_of_the_root_works_on_a_shared_host",
        "it cannot bind the cgroup hierarchies below a root that is unbindable",
    ),
    (Runc, "update replaces device rules", "its update leaves the device rules alone"),
    (Runc, "poststart hooks run in start", "it runs them at the end of create, with the status created"),
    (Runc, "poststop hooks after a failed one", "it stops at the first that fails; the specification goes on"),
    (Runc, "start reports a failed startContainer hook", "its start has already returned when the hook runs"),
    (Crun, "HOME of no directory", "it leaves it empty"),
    (Crun, "HOME without an entry", "it leaves it empty"),
    (Runc, "HOME of no directory", "it sets it to nothing; a line without a number is one of user 0 for it"),
    (
        Runc,
        "locked flags of a bind in a user namespace",
        "it drops noatime and others when it remounts, which the kernel refuses; 1.2 keeps them",
    ),
    (
        Runc,
        "of_two_creates_of_one_id_exactly_one_wins",
        "it looks first and makes the directory then: both can fail, and the loser can remove the winner's state",
    ),
    (
        Runc,
        "delete_force_right_after_create_was_killed",
        "the cgroup stays when create is killed before it writes the state",
    ),
    (Runc, "config.json is null", "it dereferences a nil pointer and exits with 2"),
    (Runc, "a link at /dev of the image", "it follows it, and makes its own links outside of the image"),
    (Runc, "the_scheduler_is_the_one_of_the_configuration", "it is older than these elements and ignores them"),
    (Runc, "a_scheduler_is_reset_on_fork_only_when_asked", "it is older than these elements and ignores them"),
    (Runc, "the_io_priority_is_the_one_of_the_configuration", "it is older than these elements and ignores them"),
    (Runc, "the_personality_is_the_one_of_the_configuration", "it is older than these elements and ignores them"),
    (Runc, "the_memory_policy_is_the_one_of_the_configuration", "it is older than these elements and ignores them"),
    (Runc, "what_the_kernel_refuses_is_named_and_leaves_nothing", "it is older than these elements and ignores them"),
    (Runc, "a_user_namespace_has_no_right_to_a_realtime_scheduler", "it is older than these elements and ignores them"),
    (Crun, "the_scheduler_is_the_one_of_the_configuration", "it is older than these elements and ignores them"),
    (Crun, "a_scheduler_is_reset_on_fork_only_when_asked", "it is older than these elements and ignores them"),
    (Crun, "the_io_priority_is_the_one_of_the_configuration", "it is older than these elements and ignores them"),
    (Crun, "the_personality_is_the_one_of_the_configuration", "it is older than these elements and ignores them"),
    (Crun, "the_memory_policy_is_the_one_of_the_configuration", "it is older than these elements and ignores them"),
    (Crun, "what_the_kernel_refuses_is_named_and_leaves_nothing", "it is older than these elements and ignores them"),
    (Crun, "a_user_namespace_has_no_right_to_a_realtime_scheduler", "it is older than these elements and ignores them"),
    (Runc, "execCPUAffinity", "it is older than this element and ignores it"),
    (Crun, "execCPUAffinity", "it is older than this element and ignores it"),
    (Runc, "umask of exec", "it takes no umask from --process"),
    (Runc, "limits that exec leaves out", "its exec gives the limits of its caller, not of the container"),
    (Runc, "files as standard streams", "it gives every standard stream but the null device to the user"),
    (Crun, "files as standard streams", "it gives every standard stream but a terminal to the user"),
    (Crun, "the owner of a pipe of exec", "its exec changes none"),
    (Runc, "a user id beyond 32 bits", "it takes it modulo 2^32: 4294967296 is root"),
    (Runc, "socket activation of exec", "its exec does not look at LISTEN_FDS"),
    (Runc, "a program of a bad format in start and exec", "its init executes the program after the command has ended"),
    (Crun, "a program of a bad format in start and exec", "its words for it are others in each verb"),
    (Runc, "--pidfd-socket", "1.1.5 has no such option"),
    (Crun, "--pidfd-socket", "1.8.1 has no such option"),
    (Crun, "a_detached_run_waits_until_the_program_is_ready", "its socket is not where runc has it"),
    (Crun, "a_manager_that_is_gone_does_not_fail_a_container", "its socket is not where runc has it"),
    (Crun, "a_start_waits_and_create_does_not", "its socket is not where runc has it"),
    (Crun, "of_a_run_in_the_foreground_the_runtime_is_the_process_to_watch", "its socket is not where runc has it"),
    (Crun, "who_is_never_ready_is_waited_for_until_it_ends", "its socket is not where runc has it"),
    (Crun, "what_the_container_makes_of_its_directory_is_removed_with_it", "its socket is not where runc has it"),
    (Runc, "never ready", "it waits as long as /proc has the process, ended or not"),
    (Runc, "notify barrier", "it is older than the barrier (runc 1.2)"),
    (Runc, "READY after other lines", "it looks at the beginning of a message only"),
    (Runc, "a manager that is gone", "it says nothing"),
    (Runc, "a_timeout_ends_all_processes_of_the_hook", "it kills the hook alone"),
    (Crun, "a_timeout_ends_all_processes_of_the_hook", "it kills the hook alone"),
    (
        Runc,
        "a_hook_that_prints_a_megabyte_or_leaves_a_daemon_behind_does_not_hang_anything",
        "it waits until nobody has the hook's output open",
    ),
    (
        Runc,
        "network_devices_move_with_their_addresses",
        "it is older than netDevices (specification 1.3) and ignores them",
    ),
    (
        Runc,
        "a_start_that_fails_gives_network_devices_back",
        "it is older than netDevices (specification 1.3) and ignores them",
    ),
    (
        Runc,
        "a_network_device_in_a_joined_namespace_stays_there",
        "it is older than netDevices (specification 1.3) and ignores them",
    ),
    (
        Runc,
        "devices_of_every_state_move_and_are_up",
        "it is older than netDevices (specification 1.3) and ignores them",
    ),
    (
        Crun,
        "devices_of_every_state_move_and_are_up",
        "it is older than netDevices (specification 1.3) and ignores them",
    ),
    (
        Crun,
        "network_devices_move_with_their_addresses",
        "it is older than netDevices (specification 1.3) and ignores them",
    ),
    (
        Crun,
        "a_start_that_fails_gives_network_devices_back",
        "it is older than netDevices (specification 1.3) and ignores them",
    ),
    (
        Crun,
        "a_network_device_in_a_joined_namespace_stays_there",
        "it is older than netDevices (specification 1.3) and ignores them",
    ),
    (Crun, "nothing_is_mounted_over_parts_of_proc", "it allows binds below /proc"),
    (Crun, "a link at /dev of the image", "it follows it, and makes its own links and devices outside of the image"),
    (Crun, "ids_that_would_leave_the_state_directory", "it accepts /a"),
    (Crun, "linux", "it accepts, or ignores, several elements that runc refuses, such as a namespace listed twice"),
    (Crun, "process", "it accepts, or ignores, several elements that runc refuses, such as a relative cwd"),
    (Crun, "signals_that_do_not_exist", "it takes an unknown name for signal 0"),
    (Crun, "kill_takes_signals_by_name_and_by_number", "it knows no lower-case names"),
    (Crun, "the_earliest_failure_leaves_a_line_in_the_log", "its message does not name the element"),
    (Crun, "unknown_capabilities_are_ignored_with_a_warning_that_names_them", "it ignores them without a word"),
    (
        Crun,
        "a_limit_that_the_kernel_refuses_fails_create_and_leaves_nothing",
        "the cgroups stay when a limit cannot be set",
    ),
    (Crun, "cpu", "it writes a quota of -1 as an unsigned number, which the kernel refuses"),
    (Crun, "pids", "it writes a limit of -1 as it is, which the kernel refuses"),
    (
        Crun,
        "refused resources",
        "it writes 0 and -1 as they are, and lets the kernel decide about values that runc refuses",
    ),
    (Crun, "options_reach_the_kernel", "its update takes plain numbers, no 64m"),
    (Crun, "limits_of_memory_rise_and_fall_in_the_right_order", "its update takes plain numbers, no 400m"),
    (Crun, "resources_come_from_a_file_or_from_standard_input_and_zero_changes_nothing", "it takes a zero for a limit"),
    (Crun, "what_is_wrong_is_refused_and_changes_nothing", "it accepts some of it, such as a negative share"),
    (Crun, "a_container_is_updated_when_created_or_paused_but_not_when_stopped", "it updates a stopped one as well"),
    (Crun, "log lines", "its text log has no levels, and it has no debug messages"),
    (
        Crun,
        "spec_for_a_bundle_elsewhere_and_for_rootless_use",
        "its rootless configuration keeps the network namespace and has no mappings",
    ),
    (
        Crun,
        "delete_force_right_after_create_was_killed",
        "the cgroups stay when create is killed before it writes the state",
    ),
    (Crun, "a_configured_device_replaces_a_default_one", "it makes the default one all the same, with its own owner"),
    (Crun, "hook output in messages", "a hook's output goes to its own standard error"),
    (Crun, "a_failing_hook_of_create_fails_it_and_leaves_nothing", "it exits with 255 when a hook fails"),
    (Crun, "a_hook_that_does_not_exist_fails", "it exits with 255 when a hook fails, and does not say why"),
    (Crun, "start reports a failed startContainer hook", "its start has already returned when the hook runs"),
    (Crun, "hooks_get_the_state_on_standard_input", "the status that its hooks see is created throughout"),
    (Crun, "hooks_run_in_the_order_of_the_specification", "poststart hooks run beside those of startContainer"),
    (
        Crun,
        "a_run_in_the_foreground_passes_the_callers_terminal_through",
        "the size of the caller's terminal is not passed on until it changes",
    ),
    (Crun, "a_cgroups_path_with_dots_stays_in_the_hierarchy", "it leaves the cgroups that it makes on the way"),
    (Crun, "run --keep", "1.8.1 has no such option"),
    (Crun, "links_in_the_image_do_not_lead_a_mount_out_of_it", "it refuses a mount on a link that leads nowhere"),
    (Crun, "mount_flags_reach_the_kernel", "suid does not take back an earlier nosuid"),
    (
        Crun,
        "propagation_of_the_root_and_of_mounts",
        "a shared bind and a shared root stay private where the machine's own is",
    ),
    (Crun, "home_comes_from_the_containers_passwd_unless_given", "HOME is empty for a user without an entry"),
    (Crun, "listen_fds_of_the_environment_are_passed_on", "LISTEN_PID is not set"),
    (Crun, "the_program_starts_with_clean_signals", "it leaves a signal ignored or blocked that it had not found so"),
    (Crun, "an_empty_list_in_json", "it prints an empty array where runc prints null"),
    (Crun, "list_in_its_three_forms", "its table begins with NAME"),
    (Crun, "state_of_an_unknown_container", "its message names a file of its state directory"),
    (Crun, "state_prints_runcs_fields", "rootfs is printed as configured"),
    (
        Crun,
        "a_detached_terminal_needs_a_console_socket_and_a_console_socket_a_terminal",
        "it ignores a console socket without a terminal",
    ),
    (
        Crun,
        "a_new_size_of_the_callers_terminal_reaches_the_container",
        "it handles SIGWINCH only while it waits for input",
    ),
    (Runc, "a_bind_has_the_mappings_of_the_mount", "it is older than id-mapped mounts (runc 1.2) and ignores them"),
    (
        Runc,
        "what_is_written_through_the_mapping_has_the_owner_of_the_other_side",
        "it is older than id-mapped mounts (runc 1.2) and ignores them",
    ),
    (
        Runc,
        "a_bind_has_the_mappings_of_the_containers_new_user_namespace",
        "it is older than id-mapped mounts (runc 1.2) and ignores them",
    ),
    (
        Runc,
        "a_bind_has_the_mappings_of_a_user_namespace_that_is_joined",
        "it is older than id-mapped mounts (runc 1.2) and ignores them",
    ),
    (
        Runc,
        "idmap_is_for_the_mount_and_ridmap_for_those_below_as_well",
        "it is older than id-mapped mounts (runc 1.2) and ignores them",
    ),
    (
        Runc,
        "attributes_and_propagation_are_as_without_a_mapping",
        "it is older than id-mapped mounts (runc 1.2) and ignores them",
    ),
    (Runc, "a_file_is_bound_with_its_ids_mapped", "it is older than id-mapped mounts (runc 1.2) and ignores them"),
    (
        Runc,
        "what_cannot_be_mapped_is_an_error_that_names_the_mount_and_leaves_nothing",
        "it is older than id-mapped mounts (runc 1.2) and ignores them",
    ),
    (Runc, "id-mapped mounts of new file systems", "it is older than id-mapped mounts (runc 1.2) and ignores them"),
    (Crun, "id-mapped mounts of new file systems", "it has them for binds only"),
    (Crun, "idmap_is_for_the_mount_and_ridmap_for_those_below_as_well", "with idmap, rbind is bind"),
    (Crun, "attributes_and_propagation_are_as_without_a_mapping", "nosuid is lost, and mounts are private throughout"),
    (Crun, "a_label_of_mounts_is_an_error_where_selinux_is_not_at_work", "it ignores the label then"),
    // The figures are in docs/SECURITY.md.
    (Runc, "a_directory_in_which_things_are_made_is_swapped_for_a_link", "it loses: mount points are made outside"),
    (Runc, "dev_is_swapped_for_a_link", "it loses: its links are made where the link leads, outside"),
    (Runc, "proc_is_swapped_while_its_files_are_masked", "it loses: masks are looked up by name"),
    (Runc, "the_console_and_the_terminals_are_swapped_for_links", "it refuses every start with a file on /dev/console"),
    (Runc, "the_destination_of_a_mount_is_swapped_for_a_link", "it loses: a mount point is made outside"),
    (Runc, "the_null_device_is_swapped_for_a_link", "it loses (CVE-2025-31133)"),
    (
        Runc,
        "what_is_written_to_proc_is_swapped_for_files_of_the_image",
        "a container that it has created ends by itself",
    ),
    (
        Crun,
        "a_container_that_joins_namespaces_cannot_be_traced_or_looked_into",
        "it loses: what joins the user and pid namespace of another container can be traced there",
    ),
    (Crun, "dev_is_swapped_for_a_link", "it loses: its nodes and links are made where the link leads, outside"),
    (Crun, "proc_is_swapped_while_its_files_are_masked", "it loses: masks are looked up by name"),
    (Crun, "the_console_and_the_terminals_are_swapped_for_links", "it refuses every start with a file on /dev/console"),
    (Runc, "the peer group of the root", "with slave it makes the root private"),
    (Runc, "no pivot with a private root", "it refuses it as not safe"),
    (Crun, "the peer group of the root", "a container without rootfsPropagation has private mounts"),
    (Crun, "the_hosts_own_mounts_stay_as_they_are", "with private and --no-pivot it unmounts the host's /sys"),
    (Crun, "peer_groups_and_what_spreads", "a container without rootfsPropagation has private mounts"),
    (Runc, "kill of a shared pid namespace", "1.1 kills the first process alone; 1.2 all"),
    (Crun, "kill of a shared pid namespace", "it kills the first process alone"),
    (
        Runc,
        "tmpcopyup of FIFOs, sockets, character devices and set-group-id directories",
        "it fails with the first three (it makes none and then changes its owner), and loses the bit",
    ),
    (Runc, "a read-only tmpfs that is covered", "what covers it becomes read-only in its place"),
    (Crun, "the mode of a tmpfs on a directory of the image", "it gives it 1777"),
    (Runc, "a_terminal_is_not_opened_through_links", "it follows them, inside the root"),
    (Crun, "a_terminal_is_not_opened_through_links", "it follows them, inside the root"),
    (Crun, "no device rules", "it allows all devices then"),
    (Crun, "the tunnel's device by default", "it allows it to be made, not to be used"),
    (Crun, "rules_without_a_meaning_are_refused", "the cgroups stay when a rule cannot be set"),
    (Crun, "devices without a meaning", "it makes a character device of type a, and others the kernel cuts"),
    (Crun, "only_a_procfs_can_be_bound_on_proc", "it binds anything there"),
    (Crun, "failed poststart hooks", "it goes on"),
    (Crun, "a_failing_poststart_hook_ends_the_container", "it goes on"),
    (
        Crun,
        "a_hook_that_closes_its_input_early_does_not_hang_or_fail_anything",
        "it takes EPIPE of the state's pipe for a failure of the hook",
    ),
    (Crun, "create_container_hooks_have_a_usual_umask_and_run_in_the_rootfs", "they run in the bundle's directory"),
    (
        Crun,
        "hooks_inherit_no_descriptor_of_the_runtimes_caller",
        "SIGPIPE ends its delete when a poststop hook has ended without reading its input",
    ),
    (Crun, "names of security modules", "it names the file that it could not write"),
    (Crun, "the name of the session keyring", "it is the id alone"),
    (Crun, "limits that are given twice", "it sets the last, where the specification wants an error"),
    (
        Crun,
        "unknown_capabilities_are_left_out_with_a_warning_and_what_the_runtime_has_not_is_an_error",
        "it leaves both out without a word",
    ),
    (
        Crun,
        "a_sysfs_needs_a_network_namespace_that_is_the_user_namespaces_own",
        "it binds the host's, with all that is mounted below it",
    ),
    (Crun, "groups that cannot be set", "it leaves them out where setgroups is denied"),
    (
        Crun,
        "devices_of_a_user_namespace_are_those_of_the_host",
        "it gives the host's own node to the root of the container",
    ),
    (Crun, "attributes of a bind in a user namespace", "without ro they are lost"),
];

pub(crate) fn difference(runtime: Runtime, key: &str) -> Option<&'static str> {
    DIFFERENCES.iter().find(|(who, what, _)| *who == runtime && *what == key).map(|(_, _, reason)| *reason)
}

/// Whether the runtime under test differs in the whole of the current test; prints why. The test is the current thread, which
/// libtest names after it.
pub(crate) fn is_left_out() -> bool {
    let thread = std::thread::current();
    let runtime = Runtime::from_environment();
    let Some(name) = thread.name() else { return false };
    let Some(reason) = difference(runtime, name) else { return false };
    eprintln!("known difference of {}: {name}: {reason}", runtime.name());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_used_by_a_test() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let text: String =
            files.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap()).collect();
        for (_, key, _) in DIFFERENCES {
            let used = text.contains(&format!("fn {key}()")) || text.contains(&format!("differs(\"{key}\")"));
            assert!(used, "{key}");
        }
    }
}
