"""Kinds of files, venues and settings that were once understood wrongly: for each, the tests that hold it, and how many
members of the kind they try."""

from __future__ import annotations

import importlib
import math

import pytest

_LEAST_MEMBERS = 3
_WRONG, _HAVE = "market.importers.test_never_silently_wrong", "market.importers.test_what_people_have"
_KINDS: dict[str, tuple[str, ...]] = {
    "contracts in live mode": ("market.live.test_instrument:test_contracts_are_for_paper_alone_whatever_their_size",),
    "what is not finite in a training": (
        "trading.ppo.test_ppo_finite:test_training_stops_at_the_environment_and_step_and_keeps_the_last_good_state",),
    "a hole in a venue's history": ("market.live.test_download:test_a_hole_in_a_venues_bars_is_a_gap_and_not_the_end",),
    "prices of many digits": (f"{_WRONG}:test_prices_keep_their_digits_however_small",),
    "tick sizes that are told": ("test_cli:test_increments_are_flags_of_every_verb_that_reads",),
    "prices without a grid": ("market.importers.test_increments:test_prices_without_a_grid_are_rounded_by_less_than_a_ten_millionth",
                              f"{_WRONG}:test_prices_without_a_grid_are_read_and_said_to_have_none*3"),
    "times in digits": (f"{_WRONG}:test_dates_in_digits_are_no_numbers_of_seconds",
                        f"{_WRONG}:test_what_cannot_be_a_time_is_refused"),
    "the end of a bar": (f"{_WRONG}:test_the_end_of_a_bar_is_not_its_beginning",),
    "contracts in files": (f"{_WRONG}:test_quantities_are_coins_whatever_the_market_counts",),
    "the taker's side": (f"{_WRONG}:test_the_takers_side_however_it_is_spelled",
                         f"{_WRONG}:test_the_sign_of_a_quantity_is_the_takers_side"),
    "volume in money": (f"{_WRONG}:test_volume_in_money_is_no_volume_of_coins",
                        f"{_WRONG}:test_where_capitalisation_or_yahoo_tell_it_volume_is_money"),
    "unfinished candles": (f"{_WRONG}:test_of_a_bar_told_twice_the_finished_one_stays",),
    "symbols in one word": (f"{_WRONG}:test_symbols_are_cut_at_the_right_place",
                            f"{_WRONG}:test_symbols_in_names_of_files"),
    "freqtrade's futures": (f"{_WRONG}:test_futures_of_freqtrade_are_contracts",),
    "minutes without a trade": (f"{_HAVE}:test_a_minute_without_a_trade_is_a_missing_bar",),
    "forms of JSON": (f"{_HAVE}:test_every_form_of_json",),
    "archives of venues": (f"{_HAVE}:test_files_that_were_seen", f"{_HAVE}:test_trades_that_were_seen"),
    "files of brokers": (f"{_HAVE}:test_files_of_brokers", f"{_HAVE}:test_quotes_that_were_seen"),
    "Yahoo's headers": (f"{_HAVE}:test_yahoo_of_every_age",),
    "times of databases": (f"{_HAVE}:test_every_way_to_write_a_time", f"{_HAVE}:test_every_type_of_a_binary_table"),
    "numbers of other countries": (f"{_HAVE}:test_numbers_as_other_people_write_them",
                                   f"{_HAVE}:test_headers_in_other_languages"),
    "marks, blank lines and separators": (f"{_HAVE}:test_every_separator_encoding_and_preamble",),
    "packed files": (f"{_HAVE}:test_every_packing", "market.importers.test_files:test_what_is_not_read_is_refused_by_what_it_is"),
    "moments that are given": ("utils.test_moments:test_one_moment_in_every_way_to_write_it",),
    "client ids of MQTT": ("telemetry.mqtt.test_publisher:test_no_two_daemons_have_one_name_at_the_broker*18",),
    "precision of venues": ("market.live.test_instrument:test_increments_of_every_mode",),
    "own rewards": ("trading.test_own_reward:test_one_that_cannot_take_many_or_answers_something_else_is_named_with_its_place",),
    "terminals without a letter": ("test_cli:test_a_terminal_without_a_letter_shows_a_sign_in_its_place",),
    "threads that outlive a read": ("market.importers.test_files:test_reading_ends_with_the_process*5",),
    "keys given twice": ("test_config:test_what_stands_twice_is_refused_with_both_lines",),
    "what is not finite in a daemon": (
        "learning.test_not_finite:test_one_bad_number_in_an_own_transition_costs_one_update_and_no_more",
        "runtime.test_gone_wrong:test_a_daemon_tells_of_a_dropped_update_and_counts_it"),
}  # fmt: skip


def _members(named: str) -> int:
    """How many cases a test, given as `module:function` or `module:function*times`, is run on."""
    module, _, rest = named.partition(":")
    function, _, times = rest.partition("*")
    marks = getattr(getattr(importlib.import_module(module), function), "pytestmark", [])
    return int(times or 1) * math.prod(len(list(m.args[1])) for m in marks if m.name == "parametrize")


@pytest.mark.parametrize("kind", _KINDS)
def test_a_kind_is_held_by_several_members(kind: str) -> None:
    assert sum(map(_members, _KINDS[kind])) >= _LEAST_MEMBERS


def test_there_are_as_many_kinds_as_were_found() -> None:
    assert len(_KINDS) == 31
