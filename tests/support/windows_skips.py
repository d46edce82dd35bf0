"""Tests that ``tests/conftest.py`` skips on Windows, and those that it skips under Wine only, with the reason."""

from __future__ import annotations

import ctypes
import sys

_SIGNAL = "it ends a process by a signal, which Windows has not; its counterpart, Ctrl-C, needs a console"
ON_WINDOWS: dict[str, tuple[str, ...]] = {
    "it runs a shell script for Debian": ("tests/unit/test_debian_packages.py",),
    "benchmarks run on Linux": (
        "tests/unit/test_bench_listeners.py",
        "tests/unit/test_bench_verdicts.py::test_missed_goals_are_drawn",
    ),
    "recordings use links elsewhere only": (
        "tests/unit/test_recording_files.py::test_file_system_without_links_is_supported",
    ),
    "Windows has no fork": (
        "tests/loopback/test_host_process.py",
        "tests/unit/test_self_signed.py::test_exit_of_a_forked_child_leaves_the_file_to_its_parent",
        "tests/unit/test_loop_thread.py::test_exit_of_a_forked_child_does_not_wait_for_the_parents_threads",
    ),
    "Windows has no /proc and no /dev/fd": (
        "tests/unit/test_bass_locate.py::test_other_library_in_environment_variable_is_rejected",
        "tests/unit/test_recorder.py::test_file_that_cannot_seek_is_rejected",
        "tests/loopback/test_thread_names.py",
    ),
    "LoadLibrary finds a loaded library by its name": (
        "tests/unit/test_bass_locate.py::test_loaded_copy_is_never_loaded_again",
    ),
    "Windows has no limit of descriptors, and gives them no low numbers": (
        "tests/unit/test_http_server_limits.py::test_process_without_a_limit_is_not_limited",
        "tests/unit/test_http_server_limits.py::test_last_descriptors_are_kept_for_the_program",
        "tests/unit/test_http_server_limits.py::test_a_few_connections_are_possible_however_few_descriptors_are_left",
    ),
    "Windows makes no locales with localedef, and closes no standard streams at start": (
        "tests/loopback/test_surroundings.py::test_commands_need_neither_utf_8_nor_programs_nor_what_builds",
        "tests/loopback/test_surroundings.py::test_serve_runs_without_standard_output_and_input",
    ),
    "it makes a symbolic link, which Windows does not permit everybody": (
        "tests/loopback/test_surroundings.py::test_optimised_program_runs_in_a_folder_with_a_space_and_an_umlaut",
    ),
    "Python cannot request real-time priority on Windows": (
        "tests/unit/test_doctor.py::test_refused_real_time_priority_comes_with_three_ways_to_grant_it",
        "tests/unit/test_doctor.py::test_priority_check_does_not_change_the_calling_thread",
    ),
    "sound-lib's BASSmix 2.4.5.2 for Windows crashes": (
        "tests/unit/test_input_player.py::test_tap_returns_everything_played_even_if_read_late",
    ),
    "PulseAudio is for Linux": ("tests/loopback/test_bass_source.py::test_bass_records_its_default_input",),
    "it opens a pseudo-terminal": ("tests/loopback/test_command_line.py::test_live_table_is_shown_on_a_terminal",),
    "there is no pkg-config; the core for Windows is compiled on Linux": (
        "tests/unit/test_core_interface.py::test_error_for_missing_library_names_packages",
        "tests/unit/test_core_interface.py::test_static_libraries_are_those_of_the_given_folder",
    ),
    "its publishers are controlled through select() on standard input, which Windows has for sockets only": (
        "tests/loopback/test_examples.py::test_echo_returns_the_input",
        "tests/loopback/test_examples.py::test_recorder_writes_one_file_per_call",
    ),
    _SIGNAL: (
        "tests/loopback/test_client_commands.py::test_client_reconnects_after_a_server_restart",
        "tests/loopback/test_client_commands.py::test_pulled_stream_is_played",
        "tests/loopback/test_client_commands.py::test_pulled_stream_is_recorded",
        "tests/loopback/test_client_commands.py::test_unreachable_server_is_reported_once",
        "tests/loopback/test_command_line.py::test_demo_programme_plays_without_a_gap",
        "tests/loopback/test_command_line.py::test_signal_ends_serve_silently_with_code_0",
        "tests/loopback/test_examples.py::test_example_serves_until_it_is_stopped[asyncio_station]",
    ),
}
"""Reason to the tests: beginnings of their ids, each up to a ``::``, a ``[`` or the end."""
UNDER_WINE: dict[str, tuple[str, ...]] = {
    "Wine refuses the same UDP port on two IPv4 addresses, so these tests run where there is one": (
        "tests/unit/test_mux.py::test_addresses_are_looked_up_again_once_a_second",
        "tests/unit/test_mux.py::test_full_table_of_sockets_is_logged_and_makes_room",
        "tests/unit/test_mux.py::test_port_that_is_taken_on_a_new_address_is_logged_once",
        "tests/unit/test_mux.py::test_requested_address_is_first_even_if_the_system_does_not_list_it",
        "tests/unit/test_mux.py::test_socket_of_a_former_address_is_closed_when_no_path_is_on_it",
        "tests/unit/test_mux.py::test_socket_that_the_core_cannot_release_yet_is_closed_later",
        "tests/loopback/test_examples.py::test_phone_in_puts_guests_on_air",
        "tests/loopback/test_server_settings.py::test_place_of_a_listener_that_has_left_can_be_taken_at_once",
        "tests/unit/test_sockets.py::test_free_port_is_same_on_every_address",
        "tests/unit/test_sockets.py::test_local_addresses_end_with_loopback_and_have_no_link_local",
        "tests/unit/test_sockets.py::test_missing_address_is_skipped",
        "tests/unit/test_sockets.py::test_own_addresses_are_known_and_others_are_not",
    ),
    "each start of Python takes seconds under Wine; another test starts the same code there": (
        "tests/loopback/test_client_commands.py::test_bad_arguments_exit_with_code_2[arguments1]",
        "tests/loopback/test_client_commands.py::test_bad_arguments_exit_with_code_2[arguments2]",
        "tests/loopback/test_client_commands.py::test_bad_arguments_exit_with_code_2[arguments3]",
        "tests/loopback/test_client_commands.py::test_bad_arguments_exit_with_code_2[arguments4]",
        "tests/loopback/test_command_line.py::test_bad_arguments_exit_with_code_2",
        "tests/loopback/test_command_line.py::test_channel_that_cannot_be_added_is_a_usage_error",
        "tests/loopback/test_command_line.py::test_missing_file_of_a_channel_is_one_line_and_exit_code_1",
        "tests/loopback/test_command_line.py::test_non_audio_file_is_one_line_and_exit_code_1",
        "tests/loopback/test_examples.py::test_example_serves_until_it_is_stopped[door]",
        "tests/loopback/test_examples.py::test_example_serves_until_it_is_stopped[play_file]",
        "tests/loopback/test_examples.py::test_example_serves_until_it_is_stopped[synthesizer]",
        "tests/loopback/test_examples.py::test_jukebox_plays_on_after_the_end_of_a_file",
        "tests/unit/test_doctor.py::test_commands_without_core_print_what_to_install[arguments1]",
    ),
}
"""The same for tests that run on real Windows, but not under Wine."""


def is_wine() -> bool:
    """Return whether this Windows is Wine."""
    return sys.platform == "win32" and hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


def reason_to_skip(test: str, *, wine: bool) -> str | None:
    """Return why a test is skipped on Windows or, if ``wine``, under Wine; None if it runs."""
    skips = ON_WINDOWS | UNDER_WINE if wine else ON_WINDOWS
    return next((reason for reason, named in skips.items() if any(covers(one, test) for one in named)), None)


def covers(entry: str, test: str) -> bool:
    """Return whether an entry of the tables names a test."""
    return test == entry or test.startswith((f"{entry}::", f"{entry}["))
